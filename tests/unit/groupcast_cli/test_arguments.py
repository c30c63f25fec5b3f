"""Parsing of option values."""

from __future__ import annotations

import argparse

import pytest

from groupcast_cli.arguments import base_path, origin, quota, timeout
from localcloud.gateway import AccountQuota


@pytest.mark.parametrize(
    ("text", "rate_per_s", "burst"),
    [("10000", 10_000, 5_000), ("2000,1000", 2_000, 1_000), ("1", 1, 1), ("0.5,3", 0.5, 3)],
)
def test_a_quota_has_a_rate_and_a_burst(text: str, rate_per_s: float, burst: float) -> None:
    """The burst defaults to half the rate, as on AWS."""
    assert quota(text) == AccountQuota(rate_per_s, burst)


@pytest.mark.parametrize("text", ["", "fast", "0", "-1", "10,0", "10,", "10,5,2", "inf", "nan"])
def test_an_invalid_quota_has_a_clear_error(text: str) -> None:
    """With an example."""
    with pytest.raises(argparse.ArgumentTypeError, match="10000,5000"):
        quota(text)


def test_a_timeout_names_a_function() -> None:
    """In whole seconds, up to Lambda's maximum."""
    assert timeout("fanoutMessage=3") == ("fanoutMessage", 3)
    assert timeout("f=900") == ("f", 900)


@pytest.mark.parametrize("text", ["f=0", "f=901", "f=1.5", "f=-3", "f=", "f=soon", "f"])
def test_an_invalid_timeout_has_a_clear_error(text: str) -> None:
    """A missing number, or one that Lambda refuses."""
    with pytest.raises(argparse.ArgumentTypeError, match=text):
        timeout(text)


@pytest.mark.parametrize(
    "text", ["https://chat.example.com", "http://10.0.0.2:5173", "null", "tauri://localhost"]
)
def test_an_origin_is_normalised_to_the_browsers_form(text: str) -> None:
    """Even if typed in capitals."""
    assert origin(text) == text
    assert origin(text.upper()) == text


@pytest.mark.parametrize(
    "text", ["", "chat.example.com", "https://", "https://a/", "https://a/b", "*", "https://a b"]
)
def test_an_invalid_origin_has_a_clear_error(text: str) -> None:
    """Paths and patterns would match no origin that a browser sends."""
    with pytest.raises(argparse.ArgumentTypeError, match=r"https://chat\.example\.com"):
        origin(text)


@pytest.mark.parametrize("text", ["chat", "v1", "$-_.+!*'()"])
def test_a_base_path_is_one_segment(text: str) -> None:
    """As in API Gateway."""
    assert base_path(text) == text


@pytest.mark.parametrize("text", ["", "/chat", "a/b", "a b", "a%20b", "a" * 301])
def test_an_invalid_base_path_has_a_clear_error(text: str) -> None:
    """With an example."""
    with pytest.raises(argparse.ArgumentTypeError, match="such as chat"):
        base_path(text)
