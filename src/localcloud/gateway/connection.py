"""One WebSocket: passes frames in and messages out, and reports its end exactly once."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import TYPE_CHECKING, Protocol

from websockets.frames import Close, CloseCode, Frame, Opcode
from websockets.protocol import State

if TYPE_CHECKING:
    from websockets.server import ServerProtocol

    from localcloud.gateway.background import Background
    from localcloud.gateway.events import Client
    from localcloud.gateway.limits import GatewayLimits

# The `disconnectReason` for a close without a reason.
_REASONS: dict[int, str] = {
    CloseCode.NORMAL_CLOSURE: "Connection Closed Normally",
    CloseCode.GOING_AWAY: "Going away",
    CloseCode.NO_STATUS_RCVD: "Client-side close frame status not set",
    CloseCode.ABNORMAL_CLOSURE: "Connection closed abnormally",
}


class Session(Protocol):
    """Handles a connection's messages and its end."""

    async def answer(self, body: str) -> bytes | None:
        """Return the text to send back, if any."""

    def ended(self, code: int, reason: str) -> None:
        """Called once, when nothing more can be sent."""


def text_frame(text: bytes) -> bytes:
    """Encode a text message to a client as a WebSocket frame."""
    return Frame(Opcode.TEXT, text).serialize(mask=False)


class Connection:
    """An established WebSocket over `transport`.

    Up to `pending_messages` messages run concurrently. While that many run, or the client leaves too much
    unread, the socket is not read, so at most the messages of one read wait.
    """

    def __init__(
        self,
        client: Client,
        session: Session,
        frames: ServerProtocol,
        transport: asyncio.Transport,
        background: Background,
        limits: GatewayLimits,
    ) -> None:
        self.client = client
        self._session = session
        self._frames = frames
        self._transport = transport
        self._background = background
        self._limits = limits
        self._loop = asyncio.get_running_loop()
        self._parts: list[bytes] = []
        self._waiting: deque[str] = deque()
        self._pending = 0
        self._congested = False
        self._paused = False
        self._ended = False
        self._active_s = self._loop.time()
        self._idle = self._loop.call_later(limits.idle_timeout_s, self._check_idle)
        self._lifetime = self._loop.call_later(limits.lifetime_s, self.close, CloseCode.GOING_AWAY)
        self._deadline: asyncio.TimerHandle | None = None

    @property
    def last_active_ms(self) -> int:
        """The time of the last frame in either direction, in milliseconds since the epoch."""
        return int((time.time() - (self._loop.time() - self._active_s)) * 1000)

    def post(self, frame: bytes) -> bool:
        """Send a whole frame; return False without sending if the client leaves too much unread."""
        if self._transport.get_write_buffer_size() > self._limits.write_buffer_bytes:
            return False
        self._active_s = self._loop.time()
        self._transport.write(frame)
        return True

    def close(self, code: CloseCode) -> None:
        """Start the closing handshake. For functions and senders the connection is closed at once."""
        if not self._ended:
            self._frames.send_close(code, _REASONS.get(code, ""))
            self._after_frames()

    def receive(self, data: bytes) -> None:
        self._frames.receive_data(data)
        for frame in self._frames.events_received():
            # Only frames: the handshake is over.
            assert isinstance(frame, Frame)
            if self._ended or not self._take(frame):
                break
        self._after_frames()

    def receive_eof(self) -> None:
        self._frames.receive_eof()
        self._after_frames()

    def lost(self) -> None:
        """The TCP connection is gone."""
        self.receive_eof()
        if self._deadline is not None:
            self._deadline.cancel()

    def congest(self, congested: bool) -> None:
        """Note whether the client leaves too much unread."""
        self._congested = congested
        self._pace()

    def _take(self, frame: Frame) -> bool:
        self._active_s = self._loop.time()
        if frame.opcode is Opcode.BINARY:
            return self._fail(CloseCode.UNSUPPORTED_DATA, "binary messages are not supported")
        if frame.opcode is not Opcode.TEXT and frame.opcode is not Opcode.CONT:
            return True
        # Drop empty fragments: a message of only those would never reach a limit.
        if frame.data:
            self._parts.append(bytes(frame.data))
        if frame.fin:
            message, self._parts = b"".join(self._parts), []
            try:
                text = message.decode()
            except UnicodeDecodeError:
                return self._fail(CloseCode.INVALID_DATA, "text is not UTF-8")
            self._waiting.append(text)
        return True

    def _fail(self, code: CloseCode, reason: str) -> bool:
        # If the same read brought the client's own close, that one stands.
        if self._frames.state is State.OPEN:
            self._frames.fail(code, reason)
        return False

    def _after_frames(self) -> None:
        for data in self._frames.data_to_send():
            if self._transport.is_closing():
                break
            if data:
                self._transport.write(data)
            else:
                self._half_close()
        if self._frames.state is not State.OPEN and not self._ended:
            self._end()
        self._pump()

    def _half_close(self) -> None:
        # Close only the sending half and drop what the client still sends: closing a socket with unread data
        # resets it, and the client would not see the close reason.
        try:
            self._transport.write_eof()
        except OSError:
            # The client has just reset the connection; asyncio raises that.
            self._transport.abort()

    def _end(self) -> None:
        self._ended = True
        self._idle.cancel()
        self._lifetime.cancel()
        self._deadline = self._loop.call_later(self._limits.close_timeout_s, self._transport.abort)
        close = self._first_close()
        self._session.ended(int(close.code), close.reason or _REASONS.get(close.code, ""))

    def _first_close(self) -> Close:
        frames = self._frames
        first = frames.close_rcvd if frames.close_rcvd_then_sent else frames.close_sent
        return first or Close(CloseCode.ABNORMAL_CLOSURE, "")

    def _pump(self) -> None:
        while self._waiting and self._pending < self._limits.pending_messages:
            self._pending += 1
            self._background.spawn(self._answer(self._waiting.popleft()))
        self._pace()

    async def _answer(self, text: str) -> None:
        try:
            reply = await self._session.answer(text)
            if reply is not None and not self._ended:
                self._active_s = self._loop.time()
                self._transport.write(text_frame(reply))
        except asyncio.CancelledError:
            # The gateway is out of time: start no waiting messages.
            self._waiting.clear()
            raise
        finally:
            self._pending -= 1
            self._pump()

    def _pace(self) -> None:
        busy = self._pending >= self._limits.pending_messages or self._congested
        # Always read a closing connection: the client's close frame may be next.
        pause = busy and not self._ended
        if pause == self._paused or self._transport.is_closing():
            return
        self._paused = pause
        if pause:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    def _check_idle(self) -> None:
        left_s = self._active_s + self._limits.idle_timeout_s - self._loop.time()
        if left_s <= 0:
            self.close(CloseCode.GOING_AWAY)
        else:
            # Check again when the idle time could be over, instead of resetting a timer with every message.
            self._idle = self._loop.call_later(left_s, self._check_idle)
