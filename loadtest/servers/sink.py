"""A stand-in for `@connections` that answers every request immediately, for benchmarks.

`python -m loadtest.servers.sink` prints its port and serves 127.0.0.1 until it is stopped.
The response has the same headers as API Gateway's. With `--gone-ratio`, that share of the connection ids,
always the same ones, gets 410; with `--delay-ms`, each answer takes that long.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import ssl
import zlib
from functools import partial
from typing import TYPE_CHECKING, cast

import httptools
import uvloop

if TYPE_CHECKING:
    from collections.abc import Sequence

_HEAD = (
    "Date: Thu, 01 Jan 2026 00:00:00 GMT\r\n"
    "Content-Type: application/json\r\n"
    "Content-Length: 0\r\n"
    "Connection: keep-alive\r\n"
    "x-amzn-RequestId: 0f1e82df-2d97-4a67-9c1b-c8bf823ca4ef\r\n"
    "x-amz-apigw-id: L0SM9cOFvHcCIhw=\r\n"
)
_OK = f"HTTP/1.1 200 OK\r\n{_HEAD}\r\n".encode()
_GONE = f"HTTP/1.1 410 Gone\r\n{_HEAD}x-amzn-errortype: GoneException\r\n\r\n".encode()
_HASHES = 2**32


class _Sink(asyncio.Protocol):
    def __init__(self, gone_below: int, delay_s: float) -> None:
        self._delay_s = delay_s
        self._gone_below = gone_below
        self._answer = _OK
        if gone_below:
            self.on_url = self._choose_by_url
        self._parser = httptools.HttpRequestParser(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._transport.abort()

    def on_message_complete(self) -> None:
        if self._delay_s:
            asyncio.get_running_loop().call_later(self._delay_s, self._respond)
        else:
            self._respond()

    def _respond(self) -> None:
        if not self._transport.is_closing():
            self._transport.write(self._answer)

    def _choose_by_url(self, url: bytes) -> None:
        self._answer = _GONE if zlib.crc32(url) < self._gone_below else _OK


async def serve(port: int, tls: ssl.SSLContext | None, gone_ratio: float, delay_s: float) -> None:
    """Serve 127.0.0.1 until SIGTERM or SIGINT."""
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    sink = partial(_Sink, int(gone_ratio * _HASHES), delay_s)
    server = await loop.create_server(sink, "127.0.0.1", port, ssl=tls, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await stopped.wait()
    server.close()


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until stopped; see --help."""
    parser = argparse.ArgumentParser(prog="python -m loadtest.servers.sink", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0: a free one")
    parser.add_argument("--tls", nargs=2, metavar=("CERT", "KEY"), help="PEM files; serves https")
    parser.add_argument("--gone-ratio", type=float, default=0.0, help="share of connection ids that get 410")
    parser.add_argument("--delay-ms", type=float, default=0.0, help="of each answer")
    options = parser.parse_args(arguments)
    tls = None
    if options.tls:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(*options.tls)
    uvloop.run(serve(options.port, tls, options.gone_ratio, options.delay_ms / 1000))


if __name__ == "__main__":
    main()
