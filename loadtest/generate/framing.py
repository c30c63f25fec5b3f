"""WebSocket frames out of a byte stream (RFC 6455, section 5). Pure.

The websockets library reads a frame with a generator and several objects. At tens of thousands of frames a
second that would be most of a receiver's work, so this module splits frames itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from websockets.frames import Frame, Opcode

from loadtest.errors import ConnectError

if TYPE_CHECKING:
    from collections.abc import Iterator

# The service sends at most 128 KB.
MAX_MESSAGE_BYTES = 1024 * 1024
_CONTINUATION, _TEXT, _CONTROL = 0x0, 0x1, 0x8
_FIN, _OPCODE, _MASKED, _LENGTH = 0x80, 0x0F, 0x80, 0x7F
_LENGTH_16, _LENGTH_64 = 126, 127
_HEAD_BYTES, _MASK_BYTES = 2, 4

CLOSE, PING = 0x8, 0x9


class FrameSplitter:
    """Splits incoming bytes into messages and control frames, and keeps an incomplete rest."""

    __slots__ = ("_buffer", "_fragments", "_opcode", "idle")

    def __init__(self) -> None:
        # True if the next byte starts a message.
        self.idle = True
        self._buffer = b""
        self._fragments: list[bytes] = []
        self._opcode = _TEXT

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """Return (opcode, payload) of each message and control frame that is now complete.

        Raises ConnectError if a message is longer than MAX_MESSAGE_BYTES.
        """
        found = []
        buffer = self._buffer + data if self._buffer else data
        used = 0
        for fin, opcode, payload, end in _frames(buffer):
            used = end
            if opcode >= _CONTROL:
                found.append((opcode, payload))
                continue
            if opcode != _CONTINUATION:
                self._opcode = opcode
            self._fragments.append(payload)
            if fin:
                found.append((self._opcode, b"".join(self._fragments)))
                self._fragments.clear()
        self._buffer = buffer[used:]
        if len(self._buffer) + sum(map(len, self._fragments)) > MAX_MESSAGE_BYTES:
            raise ConnectError(f"the server sent a message of more than {MAX_MESSAGE_BYTES} bytes")
        self.idle = not (self._buffer or self._fragments)
        return found


def client_frame(payload: bytes, opcode: Opcode = Opcode.TEXT) -> bytes:
    """A whole message as a client sends it: masked."""
    return Frame(opcode, payload).serialize(mask=True)


def server_frame(payload: bytes, opcode: Opcode = Opcode.TEXT) -> bytes:
    """A whole message as a server sends it."""
    return Frame(opcode, payload).serialize(mask=False)


def _frames(buffer: bytes) -> Iterator[tuple[int, int, bytes, int]]:
    """(fin, opcode, payload, end) of each complete frame."""
    at, size = 0, len(buffer)
    while size - at >= _HEAD_BYTES:
        head, length = buffer[at], buffer[at + 1]
        start = at + _HEAD_BYTES
        masked = length & _MASKED
        length &= _LENGTH
        if length >= _LENGTH_16:
            width = 2 if length == _LENGTH_16 else 8
            if size - start < width:
                return
            length = int.from_bytes(buffer[start : start + width])
            start += width
        mask = b""
        if masked:
            mask = buffer[start : start + _MASK_BYTES]
            start += _MASK_BYTES
        at = start + length
        if at > size:
            return
        payload = buffer[start:at]
        yield head & _FIN, head & _OPCODE, _unmask(payload, mask) if masked else payload, at


def _unmask(payload: bytes, mask: bytes) -> bytes:
    size = len(payload)
    key = (mask * (size // _MASK_BYTES + 1))[:size]
    return (int.from_bytes(payload) ^ int.from_bytes(key)).to_bytes(size)
