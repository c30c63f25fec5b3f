"""The load of a run: how many users come and go, and how often they send. Values only; no clock, no I/O."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from loadtest.errors import ScenarioError

POISSON = "poisson"
UNIFORM = "uniform"
ARRIVALS = (POISSON, UNIFORM)


@dataclass(frozen=True, slots=True)
class Stage:
    """`users` for `duration_s`. At its start missing users connect and surplus ones leave."""

    duration_s: float
    users: int


@dataclass(frozen=True, slots=True)
class Scenario:
    """The load. `rate` is messages a second over all groups, `connect_rate` connects a second.

    The users of the first stage connect before anything is sent. Then come `warmup_s` of traffic whose
    latencies do not count, the stages, and `drain_s` for messages still under way. Without `stages` there is
    one, of `users` and `duration_s`; with them, those two are their maximum and sum.
    Raises ScenarioError if the load is impossible.
    """

    users: int = 100
    connect_rate: float = 100.0
    groups: int = 1
    rate: float = 2.0
    arrival: str = POISSON
    duration_s: float = 30.0
    warmup_s: float = 2.0
    drain_s: float = 5.0
    processes: int = 1
    size_bytes: int = 200
    seed: int = 1
    stages: tuple[Stage, ...] = ()

    def __post_init__(self) -> None:
        if self.stages:
            object.__setattr__(self, "users", max(stage.users for stage in self.stages))
            object.__setattr__(self, "duration_s", sum(stage.duration_s for stage in self.stages))
        else:
            object.__setattr__(self, "stages", (Stage(self.duration_s, self.users),))
        self._check()

    def _check(self) -> None:
        if self.arrival not in ARRIVALS:
            raise ScenarioError(f"arrival must be {' or '.join(ARRIVALS)}, not {self.arrival}")
        for name in ("connect_rate", "groups", "rate", "duration_s", "processes", "users", "size_bytes"):
            if getattr(self, name) <= 0:
                raise ScenarioError(f"{name} must be more than 0")
        for name in ("warmup_s", "drain_s"):
            if getattr(self, name) < 0:
                raise ScenarioError(f"{name} can't be negative")
        if min(stage.users for stage in self.stages) < self.groups:
            raise ScenarioError("every stage needs at least as many users as there are groups")
        for before, stage in pairwise((self.stages[0], *self.stages)):
            ramp_s = (stage.users - before.users) / self.connect_rate
            if stage.duration_s <= max(ramp_s, 0):
                raise ScenarioError(
                    f"a stage of {stage.duration_s:g} s is too short for its users to connect"
                )
