"""Length-prefixed messages on a stream socket."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import socket

# Lambda's limit for a synchronous event or response (6 MB plus its envelope).
MAX_PAYLOAD_BYTES = 6_291_556
HEADER = struct.Struct("!I")
# The zygote's answer: a pid, or minus errno.
ANSWER = struct.Struct("!i")


def frame(payload: bytes) -> bytes:
    """Return the bytes on the wire: a length of four bytes, then the payload."""
    return HEADER.pack(len(payload)) + payload


def read_frame(sock: socket.socket) -> bytes | None:
    """The next payload of a blocking socket, or None at the end of the stream."""
    header = _read_exactly(sock, HEADER.size)
    return None if header is None else _read_exactly(sock, HEADER.unpack(header)[0])


def _read_exactly(sock: socket.socket, size: int) -> bytes | None:
    data = bytearray(size)
    view, filled = memoryview(data), 0
    while filled < size:
        received = sock.recv_into(view[filled:])
        if not received:
            return None
        filled += received
    return bytes(data)
