"""Fault decisions, as pure values."""

from __future__ import annotations

import pytest

from localcloud.gateway.faults import Fault, Faults


def test_ratios_divide_the_draws() -> None:
    """Each fault takes its share of the draws; the rest are normal deliveries."""
    faults = Faults(throttle_ratio=0.2, error_ratio=0.3, reset_ratio=0.1, gone_ratio=0.15)
    decisions = [faults.decide((number + 0.5) / 1000) for number in range(1000)]
    shares = {Fault.THROTTLE: 200, Fault.ERROR: 300, Fault.RESET: 100, Fault.GONE: 150, None: 250}
    assert {fault: decisions.count(fault) for fault in shares} == shares


def test_there_are_no_faults_by_default() -> None:
    """And nothing has to be drawn."""
    assert not Faults().enabled
    assert Faults().decide(0.0) is None


@pytest.mark.parametrize("ratios", [{"reset_ratio": -0.1}, {"throttle_ratio": 0.6, "error_ratio": 0.6}])
def test_impossible_ratios_are_refused(ratios: dict[str, float]) -> None:
    """Negative ones, and sums over 1."""
    with pytest.raises(ValueError, match="ratios"):
        Faults(**ratios)  # type: ignore[arg-type] # mypy takes `seed` to be among them
