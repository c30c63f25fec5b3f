"""A short chat on a stage: two connections, one group, twenty messages, all of it timed."""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING, Any

from groupcast_cli.doctor.finding import Finding, judged, to_do
from groupcast_client import Ack, ConnectionLost, GroupcastError, Limits, Message, Refused, ServerError
from groupcast_client.connection import Connection
from groupcast_client.frames import Joined, Push

if TYPE_CHECKING:
    from collections.abc import Sequence

    from groupcast_client.model import Endpoint

CONNECTIONS = 2
MESSAGES = 20
# Ten a second: no more than messagesPerSecond allows one user.
SEND_INTERVAL_S = 0.1
# A cold function answers within a few seconds.
REPLY_TIMEOUT_S = 10.0
# After the last ack; the stream offers a message again within about a second.
DELIVERY_WAIT_S = 10.0
RATE_LIMITED_WAIT_S = 5.0
HTTP_FAILED = 500


@dataclass(slots=True)
class Trial:
    """Measurements of a chat, in ms; each raw push counts, before a client sorts and drops duplicates."""

    connect_ms: list[float] = field(default_factory=list)
    ack_ms: list[float] = field(default_factory=list)
    delivery_ms: list[float] = field(default_factory=list)
    expected: int = CONNECTIONS * MESSAGES
    duplicates: int = 0
    complete: asyncio.Event = field(default_factory=asyncio.Event, repr=False)

    def delivered(self, ms: float) -> None:
        self.delivery_ms.append(ms)
        if not self.lost:
            self.complete.set()

    @property
    def lost(self) -> int:
        return self.expected - len(self.delivery_ms)

    @property
    def figures(self) -> dict[str, Any]:
        """For programs. Of so few samples the p99 is the maximum, so it is called that."""
        return {
            **{
                name: {"p50": round(median(ms), 1), "max": round(max(ms), 1), "samples": len(ms)}
                for name in ("connect_ms", "ack_ms", "delivery_ms")
                if (ms := getattr(self, name))
            },
            "lost": self.lost,
            "duplicates": self.duplicates,
        }


class Listener:
    """Notes when each message arrives on one connection."""

    def __init__(self, sent_at: dict[str, float], trial: Trial) -> None:
        self._sent_at = sent_at
        self._trial = trial
        self._heard: set[str] = set()

    def pushed(self, push: Push) -> None:
        now = time.perf_counter()
        for entry in push.entries:
            if not isinstance(entry, Message) or entry.message_id not in self._sent_at:
                continue
            if entry.message_id in self._heard:
                self._trial.duplicates += 1
            else:
                self._heard.add(entry.message_id)
                self._trial.delivered((now - self._sent_at[entry.message_id]) * 1000)


async def hold_chat(endpoints: Sequence[Endpoint], trial: Trial) -> None:
    """Chat in a new group, whose messages stay in the Messages table. Raises GroupcastError.

    A connection for each endpoint is opened in turn, and all is noted in `trial`: so many `connect_ms`, so
    many were open when an error came.
    """
    sent_at: dict[str, float] = {}
    group_id = f"doctor-{uuid.uuid4()}"
    async with contextlib.AsyncExitStack() as closing:
        connections = [
            await _connected(endpoint, Listener(sent_at, trial), trial, closing) for endpoint in endpoints
        ]
        for connection in connections:
            await connection.request(Joined, "joinGroup", groupId=group_id)
        await _send_all(connections[0], sent_at, trial)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(trial.complete.wait(), DELIVERY_WAIT_S)


def judge_chat(trial: Trial, signs_in_as: str, own_url: str | None = None) -> Finding:
    """Judge the measurements: lost deliveries are a fault, duplicates and slowness are only shown.

    `own_url` is the address under a domain of the stage's own, where the last connection went through it.
    """
    connects = " and ".join(f"{ms:,.0f}" for ms in trial.connect_ms)
    through = f", the last through {own_url}" if own_url else ""
    text = (
        f"{signs_in_as}: connects {connects} ms{through}; ack {_spread(trial.ack_ms)}; delivery "
        f"{_spread(trial.delivery_ms)}; {trial.lost} lost, {trial.duplicates} duplicate of {trial.expected}"
    )
    faults = []
    if trial.lost:
        faults.append(
            f"{text}, counted {DELIVERY_WAIT_S:g} s after the last ack: look at the log and the alarms of "
            "fanoutMessage"
        )
    found = judged(text, faults)
    return Finding(found.status, found.text, trial.figures)


def judge_failed_chat(error: GroupcastError, url: str, signs_in_as: str) -> Finding:
    """Name a remedy for a failed connect, join or send."""
    if isinstance(error, Refused):
        return to_do(f"{url} refused {signs_in_as} with HTTP status {error.status}: {_refusal(error.status)}")
    if isinstance(error, ConnectionLost):
        return to_do(f"{error}: look at the API's access log and the log of the function it names")
    if isinstance(error, ServerError) and error.code == "RateLimited":
        return to_do(f"{signs_in_as} is at a limit ({error}): try another user, or raise messagesPerSecond")
    return to_do(f"{error}: look for `frame failed` in the logs of the route functions")


async def _connected(
    endpoint: Endpoint, listener: Listener, trial: Trial, closing: contextlib.AsyncExitStack
) -> Connection:
    started = time.perf_counter()
    connection = await Connection.open(endpoint, Limits(reply_timeout_s=REPLY_TIMEOUT_S))
    trial.connect_ms.append((time.perf_counter() - started) * 1000)
    reading = asyncio.create_task(_read(connection, listener))
    closing.push_async_callback(asyncio.wait, [reading])
    closing.push_async_callback(connection.close)
    return connection


async def _read(connection: Connection, listener: Listener) -> None:
    # Requests on a lost connection raise it as well.
    with contextlib.suppress(ConnectionLost):
        await connection.read(listener.pushed)


async def _send_all(connection: Connection, sent_at: dict[str, float], trial: Trial) -> None:
    for number in range(1, MESSAGES + 1):
        message_id = str(uuid.uuid4())
        next_at = time.perf_counter() + SEND_INTERVAL_S
        await _send(connection, message_id, f"groupcast doctor, message {number}", sent_at)
        trial.ack_ms.append((time.perf_counter() - sent_at[message_id]) * 1000)
        await asyncio.sleep(max(0.0, next_at - time.perf_counter()))


async def _send(connection: Connection, message_id: str, text: str, sent_at: dict[str, float]) -> None:
    """Send once more, under the same id, where the user's limit asks for a pause."""
    for is_last in (False, True):
        sent_at[message_id] = time.perf_counter()
        try:
            await connection.request(Ack, "sendMessage", message=text, messageId=message_id)
        except ServerError as error:
            if is_last or error.code != "RateLimited":
                raise
            await asyncio.sleep(min((error.retry_after_ms or 1_000) / 1000, RATE_LIMITED_WAIT_S))
        else:
            return


def _spread(ms: Sequence[float]) -> str:
    return f"p50 {median(ms):,.0f}, max {max(ms):,.0f} ms" if ms else "none"


def _refusal(status: int) -> str:
    match status:
        case 401:
            return "the token is not valid here, or has ended; sign in with --user, or give a fresh --token"
        case 403:
            return (
                "the token is for another client or use, or its user's name can look like another's; the log "
                "of authorize has the reason"
            )
        case 429:
            return "the account, or this user, has connected too often; wait, or use another --user"
        case _ if status >= HTTP_FAILED:
            # The emulator has no 401 of its own for an authorizer that raises.
            return "look at the logs of authorize and connect; an emulator answers a bad token so, too"
    return "check the stage's URL and its API in the console"
