"""Shared by all peers: the command line, the clock, the line of JSON."""

from __future__ import annotations

import argparse
import json
import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from localcloud.service.model import REGION

if TYPE_CHECKING:
    from collections.abc import Callable

MESSAGE_BYTES = 200


@dataclass(frozen=True, slots=True)
class Job:
    """The posts to make: `data` to each of `ids`, `window` at a time."""

    endpoint: str
    ids: list[str]
    data: bytes
    window: int
    cafile: str | None


def job_from_arguments() -> Job:
    """Read the command line, and put credentials into the environment for the SDK."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--endpoint", required=True)
    parser.add_argument("--posts", type=int, default=2000)
    parser.add_argument("--window", type=int, default=64)
    parser.add_argument("--cafile")
    options = parser.parse_args()
    os.environ |= {
        "AWS_ACCESS_KEY_ID": "bench",
        "AWS_SECRET_ACCESS_KEY": "bench",
        "AWS_DEFAULT_REGION": REGION,
    }
    return Job(options.endpoint, connection_ids(options.posts), message(), options.window, options.cafile)


def connection_ids(count: int) -> list[str]:
    """Connection ids in the format of API Gateway."""
    return [f"L0SM9c{number:08d}w=" for number in range(count)]


def message() -> bytes:
    """A push of one message of 200 bytes."""
    value = {
        "messageId": "0192f0c1-2345-7abc-8def-0123456789ab",
        "seq": 1,
        "sender": "ann",
        "message": "x" * MESSAGE_BYTES,
        "createdAt": "2026-11-22T17:20:00.123Z",
    }
    return json.dumps({"type": "messages", "groupId": "group1", "messages": [value]}).encode()


class Stopwatch:
    """CPU and wall time between `start` and `report`."""

    def start(self) -> None:
        self._wall_s = time.perf_counter()
        self._cpu_s = time.process_time()

    def report(self, posts: int, accepted: int, **more: Any) -> None:
        cpu_s = time.process_time() - self._cpu_s
        wall_s = time.perf_counter() - self._wall_s
        print(json.dumps({"posts": posts, "accepted": accepted, "cpu_s": cpu_s, "wall_s": wall_s, **more}))


def run_blocking(post_all: Callable[[Job, list[str]], int], job: Job) -> None:
    """Warm up, then time one call of `post_all(job, ids)`, which returns the number of accepted posts."""
    post_all(job, job.ids[: job.window])
    watch = Stopwatch()
    watch.start()
    accepted = post_all(job, job.ids)
    watch.report(len(job.ids), accepted)
