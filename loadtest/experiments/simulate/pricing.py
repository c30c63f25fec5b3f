"""The cost of an outcome: the arithmetic of `groupcast cost` with the simulated traffic."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from groupcast.fanout.budget import CHUNK_S
from groupcast_cli.cost import Prices, estimate, traffic_of

if TYPE_CHECKING:
    from loadtest.experiments.simulate.simulation import Outcome

MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class Cost:
    """US dollars for this traffic all month, without free tiers."""

    dollars_a_month: float
    dollars_a_million_deliveries: float


def cost_of(outcome: Outcome) -> Cost | None:
    """The cost, or None if the setup does not keep up.

    Each cell has its own bill, as an account does. A message that is sent on to another cell counts there as
    an inbound frame.
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
        # Both at the steady rate: the drain, in which messages travel alone, must not count.
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
