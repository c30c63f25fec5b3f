"""Decides which function may start another environment. Pure."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from localcloud.errors import FunctionError

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Collection

    from localcloud.functions.environment import Environment
    from localcloud.service.model import Function


@dataclass(frozen=True, slots=True)
class Limits:
    """One function's limits: environments, and waiting invocations."""

    per_function: int
    queue: int


@dataclass(frozen=True, slots=True)
class PoolStatus:
    """The state of one function's environments: the pids of idle and busy ones, and counts."""

    idle: tuple[int, ...]
    busy: tuple[int, ...]
    starting: int
    waiting: int
    cold_starts: int


@dataclass(slots=True, eq=False)
class Pool:
    """One function's environments and waiting invocations. `idle` ends with the one used last."""

    function: Function
    idle: list[Environment] = field(default_factory=list)
    busy: set[Environment] = field(default_factory=set)
    starting: int = 0
    cold_starts: int = 0
    waiting: deque[asyncio.Future[Environment]] = field(default_factory=deque)

    @property
    def size(self) -> int:
        return len(self.idle) + len(self.busy) + self.starting

    def answer_next(self, answer: Environment | FunctionError) -> bool:
        """Give an environment or an error to the invocation that has waited longest; False if none waits."""
        while self.waiting:
            waiter = self.waiting.popleft()
            if waiter.done():
                continue
            if isinstance(answer, FunctionError):
                waiter.set_exception(answer)
            else:
                self.busy.add(answer)
                waiter.set_result(answer)
            return True
        return False

    def status(self) -> PoolStatus:
        return PoolStatus(
            idle=tuple(environment.pid for environment in self.idle),
            busy=tuple(environment.pid for environment in self.busy),
            starting=self.starting,
            waiting=len(self.waiting),
            cold_starts=self.cold_starts,
        )

    def forget(self, environment: Environment) -> None:
        self.busy.discard(environment)
        if environment in self.idle:
            self.idle.remove(environment)


def next_to_grow(pools: Collection[Pool], limits: Limits) -> Pool | None:
    """The waiting function with the fewest environments now and so far; None if no function may grow."""
    wanting = [
        pool for pool in pools if len(pool.waiting) > pool.starting and pool.size < limits.per_function
    ]
    return min(wanting, key=lambda pool: (pool.size, pool.cold_starts), default=None)
