"""Thresholds and tokens of a run."""

from __future__ import annotations

import argparse

from loadtest.control.options import thresholds_of


def test_lost_deliveries_fail_a_run_unless_other_conditions_are_given() -> None:
    """By default nothing may be lost."""
    thresholds, aborts = thresholds_of(argparse.Namespace(threshold=None, abort_on=None))
    assert [threshold.expression for threshold in thresholds] == ["ledger:lost==0"]
    assert aborts == []
    thresholds, _ = thresholds_of(argparse.Namespace(threshold=["delivery_ms:p(99)<250"], abort_on=None))
    assert [threshold.expression for threshold in thresholds] == ["delivery_ms:p(99)<250"]
