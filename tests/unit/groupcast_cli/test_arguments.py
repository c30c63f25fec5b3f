"""How the text of options is read."""

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
    """The burst is half the rate unless it is given, as AWS has it."""
    assert quota(text) == AccountQuota(rate_per_s, burst)


@pytest.mark.parametrize("text", ["", "fast", "0", "-1", "10,0", "10,", "10,5,2", "inf", "nan"])
def test_what_is_no_quota_is_said(text: str) -> None:
    """The error shows what one looks like."""
    with pytest.raises(argparse.ArgumentTypeError, match="10000,5000"):
        quota(text)


def test_a_timeout_names_a_function() -> None:
    """Whole seconds, up to Lambda's longest."""
    assert timeout("fanoutMessage=3") == ("fanoutMessage", 3)
    assert timeout("f=900") == ("f", 900)


@pytest.mark.parametrize("text", ["f=0", "f=901", "f=1.5", "f=-3", "f=", "f=soon", "f"])
def test_what_is_no_timeout_is_said(text: str) -> None:
    """A number that Lambda would not take, or none at all."""
    with pytest.raises(argparse.ArgumentTypeError, match=text):
        timeout(text)


@pytest.mark.parametrize(
    "text", ["https://chat.example.com", "http://10.0.0.2:5173", "null", "tauri://localhost"]
)
def test_an_origin_is_taken_as_browsers_send_it(text: str) -> None:
    """Also when it was typed in capitals."""
    assert origin(text) == text
    assert origin(text.upper()) == text


@pytest.mark.parametrize(
    "text", ["", "chat.example.com", "https://", "https://a/", "https://a/b", "*", "https://a b"]
)
def test_what_is_no_origin_is_said(text: str) -> None:
    """A path or a pattern would match nothing that a browser sends."""
    with pytest.raises(argparse.ArgumentTypeError, match=r"https://chat\.example\.com"):
        origin(text)


@pytest.mark.parametrize("text", ["chat", "v1", "$-_.+!*'()"])
def test_a_base_path_is_one_segment(text: str) -> None:
    """As API Gateway takes it."""
    assert base_path(text) == text


@pytest.mark.parametrize("text", ["", "/chat", "a/b", "a b", "a%20b", "a" * 301])
def test_what_is_no_base_path_is_said(text: str) -> None:
    """The error shows what one looks like."""
    with pytest.raises(argparse.ArgumentTypeError, match="such as chat"):
        base_path(text)
