"""Members that never read and whose buffers are full: an attacker's connections after a while."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from urllib.parse import urlsplit

from groupcast.aws.credentials import CredentialsProvider
from groupcast.aws.management import ManagementClient
from tests.conftest import REGION, Stack
from tests.contract.peer import Peer

SMALL_BUFFER_BYTES = 4096
FILLING = b"x" * 100 * 1024
CONNECTING = 16
OK = 200


@asynccontextmanager
async def never_reading(stack: Stack, group_id: str, count: int) -> AsyncIterator[list[str]]:
    """Yield the connection ids of `count` members that read nothing from now on."""
    at_once = asyncio.Semaphore(CONNECTING)
    management = _management(stack)

    async def come(opened: AsyncExitStack) -> str:
        async with at_once:
            options = {"sock": _socket(stack), "ping_interval": None, "close_timeout": 0.1}
            peer = await opened.enter_async_context(Peer.connect(f"{stack.gateway_url}?name=slow", **options))
            await peer.join(group_id)
            connection_id = str((await peer.ask({"action": "ping"}, "pong"))["connectionId"])
            peer.socket.transport.pause_reading()
            opened.callback(peer.socket.transport.abort)
            # The sockets themselves hold some megabytes.
            while (await (await management.batch(FILLING)).post(connection_id)).status == OK:
                pass
            return connection_id

    async with AsyncExitStack() as opened:
        opened.push_async_callback(management.close)
        yield await asyncio.gather(*(come(opened) for _ in range(count)))


def _management(stack: Stack) -> ManagementClient:
    credentials = CredentialsProvider(dict.fromkeys(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), "test"))
    return ManagementClient(stack.management_url, REGION, credentials, max_connections=CONNECTING)


def _socket(stack: Stack) -> socket.socket:
    where = urlsplit(stack.gateway_url)
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER_BYTES)
    sock.connect((where.hostname, where.port))
    return sock
