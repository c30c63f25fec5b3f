"""SQS on this machine: moto's server as a child process, with the queues of the service in it."""

from __future__ import annotations

import sys
import tempfile
from contextlib import AsyncExitStack
from typing import IO, TYPE_CHECKING, Any, Self

import aioboto3

from localcloud import children

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterable, Mapping

    from localcloud.model import Queue


class Moto:
    """An async context manager: moto's server runs on 127.0.0.1 while it is open."""

    def __init__(self) -> None:
        self.port = 0
        self._process: asyncio.subprocess.Process | None = None
        self._output: IO[bytes] | None = None

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        self.port = children.free_port()
        self._output = tempfile.TemporaryFile()  # noqa: SIM115 - closed in __aexit__
        try:
            argv = (sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port))
            self._process = await children.spawn(*argv, output=self._output)
            await children.wait_until_listening(self._process, self.port, "moto (SQS)")
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._process is not None:
            await children.stop(self._process)
        if self._output is not None:
            self._output.close()


class Queues:
    """The service's queues, by logical id. An async context manager: it creates them and keeps a client."""

    def __init__(self, queues: Iterable[Queue], aws: Mapping[str, Any]) -> None:
        self._queues = tuple(queues)
        self._aws = aws
        self._urls: dict[str, str] = {}
        self._client: Any = None
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        self._client = await self._stack.enter_async_context(aioboto3.Session().client("sqs", **self._aws))
        for queue in self._queues:
            answer = await self._client.create_queue(QueueName=queue.name, Attributes=dict(queue.attributes))
            self._urls[queue.logical_id] = answer["QueueUrl"]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def send(self, logical_id: str, body: str) -> None:
        """Put a message into a queue. Raises botocore's ClientError."""
        await self._client.send_message(QueueUrl=self._urls[logical_id], MessageBody=body)
