"""What an outcome costs, by the arithmetic of `groupcast cost` with the simulation's traffic."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from groupcast.fanout.budget import CHUNK_S
from groupcast_deploy.cost import Prices, estimate, traffic_of

if TYPE_CHECKING:
    from loadtest.experiments.simulate.simulation import Outcome

MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class Cost:
    """US dollars of a month with this traffic all day, without free tiers."""

    dollars_a_month: float
    dollars_a_million_deliveries: float


def cost_of(outcome: Outcome) -> Cost | None:
    """None where messages come in faster than they go out: nobody would run that for a month.

    Each cell has its own bill, as an account has. A message that crosses to a cell counts there as a frame
    that comes in.
    """
    if not outcome.keeps_up:
        return None
    setup = outcome.setup
    load = setup.load
    posts = outcome.posts_per_second / setup.cells
    counted = traffic_of(load)
    traffic = replace(
        counted,
        deliveries=load.messages_per_second * load.members,
        # Both of the same time, or the last messages, which travel alone, would count too much.
        posts=load.messages_per_second * load.members / outcome.packing,
        frames=posts / load.members,
        passes=posts / load.members,
        invocations=outcome.invocations_per_second / setup.cells,
        workers_busy=outcome.busy_workers / setup.cells,
        offering=0.0,
        bookings=posts / (setup.budget_per_second * CHUNK_S) if setup.budget_per_second else 0.0,
        express=outcome.express,
    )
    month = estimate(load, Prices(), traffic)
    deliveries = load.messages_per_second * setup.members * load.seconds
    dollars = month.dollars * setup.cells
    return Cost(dollars, dollars / deliveries * MILLION)
