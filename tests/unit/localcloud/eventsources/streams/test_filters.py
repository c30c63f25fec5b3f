"""Event patterns, as far as serverless.yml uses them."""

from __future__ import annotations

from typing import Any

import pytest

from localcloud.eventsources.streams.filters import compile_filters

RECORD = {"eventName": "INSERT", "awsRegion": "eu-central-1", "dynamodb": {"SizeBytes": 120}}


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        ([], True),
        ([{"eventName": ["INSERT"]}], True),
        ([{"eventName": ["REMOVE", "INSERT"]}], True),
        ([{"eventName": ["REMOVE", "MODIFY"]}], False),
        ([{"eventName": ["INSERT"], "awsRegion": ["us-east-1"]}], False),
        ([{"eventName": ["REMOVE"]}, {"awsRegion": ["eu-central-1"]}], True),
        ([{"noSuchField": ["INSERT"]}], False),
    ],
)
def test_a_pattern_selects_records(patterns: list[dict[str, Any]], expected: bool) -> None:
    """Fields are ANDed; values and patterns are ORed; without patterns all match."""
    assert compile_filters(patterns)(RECORD) is expected
