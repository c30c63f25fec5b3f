"""The environment of the code under test: sinks, tables, and processes that print JSON."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
import time
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aioboto3
import trustme

from loadtest.control.children import ROOT
from localcloud.backends.dynamodb import DynamoDBLocal, create_tables
from localcloud.service.definition import load_service
from localcloud.service.model import REGION

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from localcloud.service.model import Service

MEASUREMENT_TIMEOUT_S = 180
BATCH_WRITE_ITEMS = 25
SIGNED_IN_S = 3600
WRITES_AT_ONCE = 8
# Requests are signed with these; nothing checks the signature.
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "bench", "AWS_SECRET_ACCESS_KEY": "bench", "AWS_REGION": REGION}


@contextmanager
def sink(*arguments: str) -> Iterator[int]:
    """Run a sink process, and yield its port."""
    command = [sys.executable, "-m", "loadtest.servers.sink", *arguments]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield int(process.stdout.readline())
        finally:
            process.terminate()


def certificate(folder: Path) -> tuple[str, str, str]:
    """Make a certificate for 127.0.0.1; return the paths of chain, key and authority."""
    authority = trustme.CA()
    server = authority.issue_cert("127.0.0.1")
    chain, key, ca = folder / "chain.pem", folder / "key.pem", folder / "ca.pem"
    chain.write_bytes(b"".join(blob.bytes() for blob in server.cert_chain_pems))
    server.private_key_pem.write_to_path(key)
    authority.cert_pem.write_to_path(ca)
    return str(chain), str(key), str(ca)


def measure(module: str, *arguments: str, env: dict[str, str] | None = None) -> dict[str, Any]:
    """Run a measurement in its own process and return its line of JSON."""
    return _json_of([sys.executable, "-m", module, *arguments], env)


def measure_node(script: str, *arguments: str) -> dict[str, Any] | None:
    """The same for a Node script; None if Node is missing."""
    node = shutil.which("node", path=os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"])))
    return None if node is None else _json_of([node, script, *arguments], None)


def wrk(url: str, connections: int, seconds: int) -> float | None:
    """Requests a second of Debian's wrk with one thread; None if wrk is missing."""
    if shutil.which("wrk") is None:
        return None
    command = [
        "wrk",
        "-t1",
        f"-c{connections}",
        f"-d{seconds}s",
        "-s",
        str(ROOT / "loadtest/bench/post.lua"),
        url,
    ]
    output = subprocess.run(
        command, check=True, capture_output=True, text=True, timeout=MEASUREMENT_TIMEOUT_S
    )
    found = re.search(r"Requests/sec:\s+([\d.]+)", output.stdout)
    return None if found is None else float(found[1])


@asynccontextmanager
async def tables() -> AsyncIterator[tuple[Service, str]]:
    """Start DynamoDB Local with the service's tables; yield the service and the endpoint."""
    service = load_service(ROOT / "serverless.yml", stage="bench", region=REGION, params={})
    async with DynamoDBLocal(ROOT) as dynamodb:
        await create_tables(service.tables.values(), aws(dynamodb.endpoint))
        yield service, dynamodb.endpoint


async def fill(service: Service, endpoint: str, group_id: str, ids: list[str]) -> None:
    """Put connections into a group, with concurrent requests."""
    from groupcast.slots import slot_of  # noqa: PLC0415 - joinGroup writes it
    from groupcast.tables.connections import membership_key  # noqa: PLC0415 - the same

    table = service.tables["ConnectionsTable"].name
    at_once = asyncio.Semaphore(WRITES_AT_ONCE)
    # As on a deployed stage, where members are signed in.
    authorized_until_s = int(time.time()) + SIGNED_IN_S

    async def write(dynamodb: Any, part: list[str]) -> None:
        puts = [
            {
                "PutRequest": {
                    "Item": {
                        **membership_key(connection_id, group_id),
                        "groupId": {"S": group_id},
                        "slot": {"N": str(slot_of(connection_id))},
                        "sender": {"S": "ann"},
                        "authorizedUntil": {"N": str(authorized_until_s)},
                    }
                }
            }
            for connection_id in part
        ]
        async with at_once:
            while puts:
                answer = await dynamodb.batch_write_item(RequestItems={table: puts})
                puts = answer["UnprocessedItems"].get(table, [])

    async with aioboto3.Session().client("dynamodb", **aws(endpoint)) as dynamodb:
        starts = range(0, len(ids), BATCH_WRITE_ITEMS)
        await asyncio.gather(*(write(dynamodb, ids[at : at + BATCH_WRITE_ITEMS]) for at in starts))


def aws(endpoint: str) -> dict[str, Any]:
    """Keyword arguments of a boto client."""
    return {
        "endpoint_url": endpoint,
        "region_name": REGION,
        "aws_access_key_id": CREDENTIALS["AWS_ACCESS_KEY_ID"],
        "aws_secret_access_key": CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
    }


def _json_of(command: list[str], env: dict[str, str] | None) -> dict[str, Any]:
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, **(env or {})},
        check=False,
        capture_output=True,
        text=True,
        timeout=MEASUREMENT_TIMEOUT_S,
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    # The functions print logs and metrics before the result.
    result: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return result
