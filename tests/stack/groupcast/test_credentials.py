"""Credentials that another program prints."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from groupcast.aws.credentials import (
    from_botocore,
)
from groupcast.aws.sigv4 import Credentials

if TYPE_CHECKING:
    from pathlib import Path


LAMBDA = {"AWS_ACCESS_KEY_ID": "A", "AWS_SECRET_ACCESS_KEY": "S", "AWS_SESSION_TOKEN": "T"}


def test_expiry_is_taken_over(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Credentials that botocore would refresh carry the time at which they expire."""
    helper = tmp_path / "helper.py"
    helper.write_text(
        'print(\'{"Version": 1, "AccessKeyId": "P", "SecretAccessKey": "S", "SessionToken": "T",'
        ' "Expiration": "2100-01-01T00:00:00Z"}\')'
    )
    config = tmp_path / "config"
    config.write_text(f"[default]\ncredential_process = {sys.executable} {helper}\n")
    for name in LAMBDA:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    assert from_botocore() == Credentials("P", "S", "T", 4102444800.0)
