"""The sources of credentials, and their renewal."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

import pytest

from groupcast.aws.credentials import (
    REFRESH_INTERVAL_S,
    REFRESH_MARGIN_S,
    CredentialsProvider,
    from_botocore,
    from_environment,
)
from groupcast.aws.errors import NoCredentialsError
from groupcast.aws.sigv4 import Credentials

if TYPE_CHECKING:
    from pathlib import Path

LAMBDA = {"AWS_ACCESS_KEY_ID": "A", "AWS_SECRET_ACCESS_KEY": "S", "AWS_SESSION_TOKEN": "T"}
LIFE_S = 3600.0


class Source:
    """Counts its calls; returns different credentials each time."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.asked = 0
        self.fails = False
        self.goes_on = threading.Event()
        self.goes_on.set()

    def load(self) -> Credentials:
        self.goes_on.wait()
        self.asked += 1
        if self.fails:
            raise NoCredentialsError("none today")
        return Credentials(f"key{self.asked}", "S", "T", self.now + LIFE_S)

    def provider(self) -> CredentialsProvider:
        return CredentialsProvider({}, self.load, lambda: self.now)


async def _settle(provider: CredentialsProvider) -> None:
    if provider._refreshing is not None:
        await asyncio.wait([provider._refreshing])
    await asyncio.sleep(0)


async def test_lambda_needs_no_botocore() -> None:
    """In Lambda, only the environment variables are read, each time."""
    environ = dict(LAMBDA)
    provider = CredentialsProvider(environ, Source().load)
    await provider.ready()
    assert provider.current() == Credentials("A", "S", "T")
    environ["AWS_SESSION_TOKEN"] = "U"
    assert provider.current() == Credentials("A", "S", "U")


@pytest.mark.parametrize("missing", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"])
def test_incomplete_variables_are_no_credentials(missing: str) -> None:
    """Both keys are needed; a token is optional."""
    assert from_environment({**LAMBDA, missing: ""}) is None
    assert from_environment({**LAMBDA, "AWS_SESSION_TOKEN": ""}) == Credentials("A", "S", None)


async def test_concurrent_callers_share_one_load() -> None:
    source = Source()
    provider = source.provider()
    with pytest.raises(NoCredentialsError):
        provider.current()
    await asyncio.gather(*(provider.ready() for _ in range(10)))
    assert provider.current().access_key == "key1"
    assert source.asked == 1


async def test_credentials_are_refreshed_before_they_expire() -> None:
    """Within the margin one refresh runs in the background while the old ones are used."""
    source = Source()
    provider = source.provider()
    await provider.ready()
    source.now += LIFE_S - REFRESH_MARGIN_S
    assert provider.current().access_key == "key1"
    assert provider._refreshing is None
    source.now += 1
    source.goes_on.clear()
    assert provider.current().access_key == "key1"
    assert provider.current().access_key == "key1"
    source.goes_on.set()
    await _settle(provider)
    assert provider.current().access_key == "key2"
    assert source.asked == 2


async def test_ready_waits_for_new_credentials_after_a_freeze() -> None:
    source = Source()
    provider = source.provider()
    await provider.ready()
    source.now += LIFE_S
    await provider.ready()
    assert provider.current().access_key == "key2"


async def test_refused_credentials_are_refreshed_once() -> None:
    """Many refusals of the same credentials cause one refresh, never many in a short time."""
    source = Source()
    provider = source.provider()
    await provider.ready()
    old = provider.current()
    source.now += REFRESH_INTERVAL_S
    for _ in range(3):
        provider.refused(old)
    await _settle(provider)
    assert provider.current().access_key == "key2"
    provider.refused(old)
    provider.refused(provider.current())
    await _settle(provider)
    assert source.asked == 2


async def test_a_failed_refresh_keeps_the_old_ones(caplog: pytest.LogCaptureFixture) -> None:
    """A failing source is logged and asked again later; valid credentials stay in use."""
    source = Source()
    provider = source.provider()
    await provider.ready()
    source.now += LIFE_S - REFRESH_MARGIN_S + 1
    source.fails = True
    provider.current()
    await _settle(provider)
    assert provider.current().access_key == "key1"
    assert "none today" in caplog.text
    source.fails = False
    source.now += REFRESH_INTERVAL_S
    provider.current()
    await _settle(provider)
    assert provider.current().access_key == "key3"


async def test_ready_raises_each_time_without_credentials() -> None:
    source = Source()
    source.fails = True
    provider = source.provider()
    for _ in range(2):
        with pytest.raises(NoCredentialsError, match="none today"):
            await provider.ready()


def test_outside_lambda_botocores_chain_is_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Here a shared credentials file, then nothing."""
    shared = tmp_path / "credentials"
    shared.write_text("[default]\naws_access_key_id = F\naws_secret_access_key = S\n")
    for name in LAMBDA:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(shared))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    assert from_botocore() == Credentials("F", "S")
    shared.unlink()
    with pytest.raises(NoCredentialsError, match="AWS_ACCESS_KEY_ID"):
        from_botocore()
