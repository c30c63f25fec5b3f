"""The load test for users of Locust, with its command line and web page, and deliveries as its requests.

    pip install locust
    locust -f loadtest/locustfile.py --headless -u 200 -r 50 -t 30s --host ws://127.0.0.1:3001

Each user holds one connection, is a member of one group, and sends at random times. The requests `connect`,
`joinGroup` and `sendMessage` end with the reply. A `delivery` is one message reaching one member; its time
counts from just before the message was sent to its arrival.

`python -m loadtest run` measures several things that this file cannot:

- Delays by a stalled service. A user waits for its ack before it sends again (a closed loop), so a stall
  holds back the messages that it would have delayed.
- Missing messages. Locust counts completed requests; nothing counts lost, duplicate or reordered deliveries.
- The last delivery of a message, for which a large group waits.
- Exact percentiles. Locust rounds times of 100 ms and more to two digits (147 becomes 150) and computes
  percentiles from the rounded times, however few they are.
- Its own delay. A greenlet reads the clock when its turn comes, and nothing shows how late that was. With
  workers on several machines, the difference of their clocks is part of every delivery between them.
"""

from __future__ import annotations

import itertools
import json
import random
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import gevent
from gevent.event import AsyncResult
from locust import User, events, task
from locust.exception import StopUser
from websocket import WebSocketException, create_connection

if TYPE_CHECKING:
    import argparse

REPLY_TIMEOUT_S = 20.0
CONNECT_TIMEOUT_S = 20.0
_MARK = "locust"
_numbers = itertools.count(1)


@events.init_command_line_parser.add_listener
def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--groups", type=int, default=1, help="number of groups")
    parser.add_argument("--message-every-s", type=float, default=20.0, help="mean pause of a user")
    parser.add_argument("--message-bytes", type=int, default=200, help="size of a message")
    parser.add_argument("--token", default="", is_secret=True, help="a JWT, if the service requires one")


class Member(User):
    """One connection in one group."""

    def wait_time(self) -> float:
        # With exponential waits, all users together are a Poisson process.
        return random.expovariate(1 / self._options.message_every_s)

    def on_start(self) -> None:
        self._options = self.environment.parsed_options
        self._ids = itertools.count(1)
        self._waiting: dict[str, AsyncResult] = {}
        self._socket: Any = None

    def on_stop(self) -> None:
        if self._socket is not None:
            self._reading.kill()
            self._socket.close()

    @task
    def write(self) -> None:
        if self._socket is None:
            # Send the first message after a wait, so that messages do not follow the rhythm of the connects.
            self._enter(next(_numbers))
            return
        said = f"{_MARK} {time.time_ns()} "
        self._ask("sendMessage", message=said.ljust(self._options.message_bytes, "."))

    def _enter(self, number: int) -> None:
        self._socket = self._connect(number)
        self._reading = gevent.spawn(self._read)
        self._ask("joinGroup", groupId=f"locust-{number % self._options.groups}")

    def _connect(self, number: int) -> Any:
        token = self._options.token
        began = time.perf_counter()
        try:
            socket = create_connection(
                f"{self.host}?name={quote(f'locust-{number}')}",
                timeout=CONNECT_TIMEOUT_S,
                subprotocols=["groupcast.v1", f"bearer.{token}"] if token else None,
            )
        except (OSError, WebSocketException) as error:
            self._ended("connect", _ms_since(began), error=error)
            raise StopUser from error
        self._ended("connect", _ms_since(began))
        # From here on, silence is not an error.
        socket.settimeout(None)
        return socket

    def _ask(self, action: str, **fields: object) -> None:
        request_id = str(next(self._ids))
        reply = self._waiting[request_id] = AsyncResult()
        began = time.perf_counter()
        try:
            self._socket.send(json.dumps({"action": action, "id": request_id, **fields}))
            frame = reply.get(timeout=REPLY_TIMEOUT_S)
        except (OSError, WebSocketException, gevent.Timeout) as error:
            self._ended(action, _ms_since(began), error=error)
            raise StopUser from error
        finally:
            self._waiting.pop(request_id, None)
        refused = RuntimeError(f"{frame['code']}: {frame['message']}") if frame["type"] == "error" else None
        self._ended(action, _ms_since(began), error=refused)

    def _read(self) -> None:
        try:
            # A closed connection gives an empty frame.
            while raw := self._socket.recv():
                self._take(raw, time.time_ns())
            raise ConnectionError("the service closed the connection")
        except (OSError, ValueError, WebSocketException) as error:
            self._ended("connection lost", 0, error=error)
            # Later sends fail immediately.
            self._socket.close()
            for reply in self._waiting.values():
                reply.set_exception(error)

    def _take(self, raw: str | bytes, now_ns: int) -> None:
        frame = json.loads(raw)
        if frame.get("type") != "messages":
            reply = self._waiting.get(frame.get("id", ""))
            if reply is not None:
                reply.set(frame)
            return
        for message in frame["messages"]:
            mark, _, rest = message["message"].partition(" ")
            if mark == _MARK:
                self._ended("delivery", (now_ns - int(rest.split(" ", 1)[0])) / 1e6, size_bytes=len(raw))

    def _ended(
        self, name: str, took_ms: float, *, size_bytes: int = 0, error: BaseException | None = None
    ) -> None:
        events.request.fire(
            request_type="WS",
            name=name,
            response_time=took_ms,
            response_length=size_bytes,
            exception=error,
            context={},
        )


def _ms_since(began: float) -> float:
    return (time.perf_counter() - began) * 1000
