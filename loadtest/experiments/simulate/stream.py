"""The Messages table's stream: polled shards, whose lanes pass batches to a function."""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING

from groupcast_cli.cost.model import BATCH_RECORDS, LANES_PER_SHARD
from loadtest.experiments.simulate.delays import sample_s

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Sequence

    from simpy import Environment

    from loadtest.experiments.simulate.delays import Delays
    from loadtest.experiments.simulate.work import Message, Process

    Handle = Callable[[Sequence[Message]], Process]


class Stream:
    """Spreads messages over shards and lanes by their id, whatever their group.

    `handle` is the function. A lane waits for its end, then takes up to BATCH_RECORDS waiting records.
    """

    def __init__(self, env: Environment, delays: Delays, dice: random.Random, handle: Handle) -> None:
        self._env = env
        self._dice = dice
        self._shards = [_Shard(env, delays, dice, handle) for _ in range(delays.stream_shards)]

    def put(self, message: Message) -> None:
        """Store a message."""
        self._env.process(self._dice.choice(self._shards).put(message))


class _Shard:
    def __init__(self, env: Environment, delays: Delays, dice: random.Random, handle: Handle) -> None:
        self._env = env
        self._delays = delays
        self._dice = dice
        # Each shard has its own polling times.
        self._first_poll_s = dice.random() * delays.stream_poll_s
        self._last_poll = -1
        self._handed_at_s = 0.0
        self._lanes = [_Lane(env, handle) for _ in range(LANES_PER_SHARD)]

    def put(self, message: Message) -> Process:
        poll_s = self._delays.stream_poll_s
        poll = math.ceil((self._env.now - self._first_poll_s) / poll_s)
        if poll != self._last_poll:
            # The records of a poll travel together, and no poll overtakes another.
            self._last_poll = poll
            read_at_s = self._first_poll_s + poll * poll_s
            handed_at_s = read_at_s + sample_s(self._delays.stream_read, self._dice)
            self._handed_at_s = max(handed_at_s, self._handed_at_s)
        lane = self._dice.choice(self._lanes)
        yield self._env.timeout(max(self._handed_at_s - self._env.now, 0.0))
        lane.add(message)


class _Lane:
    """A share of a shard's keys, with one invocation at a time."""

    def __init__(self, env: Environment, handle: Handle) -> None:
        self._env = env
        self._handle = handle
        self._waiting: deque[Message] = deque()
        self._running = False

    def add(self, message: Message) -> None:
        self._waiting.append(message)
        if not self._running:
            self._running = True
            self._env.process(self._run())

    def _run(self) -> Process:
        # Records of the same instant form one batch.
        yield self._env.timeout(0)
        while self._waiting:
            count = min(len(self._waiting), BATCH_RECORDS)
            yield from self._handle([self._waiting.popleft() for _ in range(count)])
        self._running = False
