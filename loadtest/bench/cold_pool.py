"""How many connections a cold pool should open at a time: `python -m loadtest.bench.cold_pool`.

Posts over TLS to a sink through new pools, each setting in turn: until the first answer, half of them, the
last one, and CPU of this process. The sink answers at once, or as late as API Gateway may.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

import uvloop

from groupcast.aws.errors import HttpError
from groupcast.aws.origin import Origin
from groupcast.aws.pool import Pool
from loadtest.bench import fixtures

if TYPE_CHECKING:
    from groupcast.aws.http1 import Response

AT_ONCE = (2, 4, 8, 16, 32, 64)
POSTS = (64, 256, 2_000)
DELAYS_MS = (0, 20)
ROUNDS = 7
WINDOW = 64
MAX_CONNECTIONS = 256
BODY = b"x" * 300


class Measured(NamedTuple):
    """Of one cold pool, in ms since the first post was started."""

    first_ms: float
    half_ms: float
    last_ms: float
    cpu_ms: float
    connections: int


async def measure(port: int, ca: str, at_once: int, posts: int) -> Measured:
    """Post `posts` times, WINDOW at once, through a new pool."""
    pool = Pool(
        Origin.of(f"https://127.0.0.1:{port}/dev"),
        max_connections=MAX_CONNECTIONS,
        connects_at_once=at_once,
        cafile=ca,
    )
    head = f"POST /dev/@connections/a HTTP/1.1\r\nHost: x\r\nContent-Length: {len(BODY)}\r\n\r\n"
    request, done = head.encode() + BODY, asyncio.Event()
    started = 0
    ended: list[float] = []

    def start() -> None:
        nonlocal started
        started += 1
        pool.send(request, on_done)

    def on_done(result: Response | HttpError) -> None:
        if isinstance(result, HttpError):
            raise result
        ended.append(time.perf_counter())
        if started < posts:
            start()
        elif len(ended) == posts:
            done.set()

    began_s, began_cpu_s = time.perf_counter(), time.process_time()
    for _ in range(min(WINDOW, posts)):
        start()
    async with asyncio.timeout(30):
        await done.wait()
    cpu_s = time.process_time() - began_cpu_s
    first, half, last = ((ended[at] - began_s) * 1e3 for at in (0, posts // 2, posts - 1))
    connections = len(pool._connections)  # noqa: SLF001 - the pool itself has no use for it
    await pool.close()
    return Measured(first, half, last, cpu_s * 1e3, connections)


async def compare(port: int, ca: str, delay_ms: int) -> None:
    """Print a row for each number of posts and each setting."""
    # Warm up: the first pool of a process loads modules.
    await measure(port, ca, 1, 1)
    for posts in POSTS:
        found: dict[int, list[Measured]] = {at_once: [] for at_once in AT_ONCE}
        for number in range(ROUNDS):
            for at_once in AT_ONCE if number % 2 == 0 else AT_ONCE[::-1]:
                found[at_once].append(await measure(port, ca, at_once, posts))
        for at_once, each in found.items():
            columns = [median(column) for column in zip(*each, strict=True)]
            cells = [f"{delay_ms} ms", f"{posts:,}", str(at_once), *(f"{one:,.0f}" for one in columns)]
            print(f"| {' | '.join(cells)} |", flush=True)


def main() -> None:
    print("| answer after | posts | connects at once | first | half | last | CPU | connections |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as folder:
        chain, key, ca = fixtures.certificate(Path(folder))
        for delay_ms in DELAYS_MS:
            with fixtures.sink("--tls", chain, key, "--delay-ms", str(delay_ms)) as port:
                uvloop.run(compare(port, ca, delay_ms))


if __name__ == "__main__":
    main()
