"""The unanswered requests of one connection. No I/O."""

from __future__ import annotations

import asyncio
import logging
from bisect import bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING

from groupcast_client.errors import ConnectionLost, ServerError, TooLarge

if TYPE_CHECKING:
    from groupcast_client.frames import Body

_log = logging.getLogger("groupcast_client")


@dataclass(slots=True)
class Request:
    """An unanswered request, its future reply and the size of its frame (0 if not sent yet).

    If `is_abandoned`, the caller no longer waits, but the answer must still be matched to this request.
    """

    id: int
    reply: asyncio.Future[Body]
    size_bytes: int = 0
    is_abandoned: bool = False


class Outstanding:
    """Matches answers to requests. Each request gets one answer.

    API Gateway's own errors have no id. Such an error belongs to one of the requests that were open when it
    arrived. When no more of these are open than errors have arrived, the errors must be theirs.
    """

    def __init__(self) -> None:
        self._last_id = 0
        # By id, ascending.
        self._open: dict[str, Request] = {}
        # Errors without an id, each with the last request id before it; never more than open requests.
        self._errors: list[tuple[int, ServerError]] = []

    def add(self) -> Request:
        self._last_id += 1
        reply: asyncio.Future[Body] = asyncio.get_running_loop().create_future()
        request = self._open[str(self._last_id)] = Request(self._last_id, reply)
        return request

    def drop(self, request: Request) -> None:
        """Note that the caller no longer waits."""
        request.is_abandoned = True
        if not request.size_bytes:
            self._open.pop(str(request.id), None)

    def answer(self, request_id: str | None, body: Body) -> None:
        """Pass an answer to its request."""
        if request_id is not None:
            self._settle(self._open.pop(request_id, None), body)
        elif isinstance(body, ServerError) and len(self._errors) < len(self._open):
            self._errors.append((self._last_id, body))
        else:
            self._settle(None, body)
        self._match_errors()

    def end(self, *, is_too_large: bool) -> None:
        """Fail all unanswered requests with ConnectionLost.

        With `is_too_large` the gateway closed because of a frame's size. The largest unanswered request then
        fails with TooLarge instead, so that it is not retried.
        """
        requests, self._open = list(self._open.values()), {}
        # Among equally large ones, prefer one that was abandoned.
        largest = max(requests, key=lambda one: (one.size_bytes, one.is_abandoned), default=None)
        if is_too_large and largest is not None:
            requests.remove(largest)
            self._settle(largest, _refused(largest.size_bytes))
        for request in requests:
            self._settle(request, ConnectionLost("the connection closed before the reply came"))

    def _match_errors(self) -> None:
        ids = [request.id for request in self._open.values()] if self._errors else []
        for count in range(len(self._errors), 0, -1):
            suspects = bisect_right(ids, self._errors[count - 1][0])
            if suspects <= count:
                errors, self._errors = self._errors[:count], self._errors[count:]
                for suspect, (_, error) in zip(ids[:suspects], errors, strict=False):
                    self._settle(self._open.pop(str(suspect)), error)
                break

    def _settle(self, request: Request | None, body: Body | ConnectionLost) -> None:
        if request is not None and request.is_abandoned:
            return
        if request is None or request.reply.done():
            _log.warning("nothing waits for %s", body)
        elif isinstance(body, (ServerError, ConnectionLost)):
            request.reply.set_exception(body)
        else:
            request.reply.set_result(body)


def _refused(size_bytes: int) -> TooLarge:
    return TooLarge(
        f"the gateway closed the connection because of this frame of {size_bytes:,} bytes."
        " Shorten it or send it in parts."
    )
