"""`--endpoint-url` and `--region`: the place of a stage, and the credentials for it."""

from __future__ import annotations

import argparse
import uuid
from typing import Any
from urllib.parse import urlsplit

import pytest

from groupcast_cli.stage import Place, Stage, add_place, find_stage
from localcloud.service.model import REGION
from tests.stack.groupcast_cli.support import OTHER_REGION, Account, refusing_aws

NOWHERE = "http://127.0.0.1:1"


def parsed(*arguments: str) -> Place:
    parser = argparse.ArgumentParser()
    add_place(parser)
    return Place.of(parser.parse_args(arguments))


@pytest.fixture
def no_credentials(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    """An account, and an environment without usable credentials."""
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_ENDPOINT_URL", NOWHERE)


@pytest.mark.parametrize(
    ("arguments", "place", "options"),
    [
        ((), Place(REGION, None), ""),
        (("--region", OTHER_REGION), Place(OTHER_REGION, None), f" --region {OTHER_REGION}"),
        (("--endpoint-url", NOWHERE), Place(REGION, NOWHERE), f" --endpoint-url {NOWHERE}"),
        (
            ("--endpoint-url", "https://a/?b&c"),
            Place(REGION, "https://a/?b&c"),
            " --endpoint-url 'https://a/?b&c'",
        ),
    ],
)
def test_the_options_name_a_place(arguments: tuple[str, ...], place: Place, options: str) -> None:
    """And a place returns its options, quoted for a shell."""
    assert parsed(*arguments) == place
    assert place.options == options


@pytest.mark.parametrize(
    "url", ["", "127.0.0.1:4566", "ws://127.0.0.1:4566", "http://", "http://a:b", "http://[::1"]
)
def test_an_invalid_endpoint_is_wrong_usage(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """With a valid example."""
    with pytest.raises(SystemExit) as caught:
        parsed("--endpoint-url", url)
    assert caught.value.code == 2
    assert f"{url!r} is not a URL such as http://127.0.0.1:4566" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("url", "emulated"),
    [
        (None, False),
        ("http://127.0.0.1:4566", True),
        ("http://127.9.9.9", True),
        ("http://[::1]:4566", True),
        ("http://localhost:4566/", True),
        ("http://192.0.2.1:4566", False),
        ("https://127.0.0.1.example.com", False),
    ],
)
def test_an_emulator_is_on_this_machine(url: str | None, emulated: bool) -> None:
    """Other addresses do not get the emulator's keys."""
    assert Place(REGION, url).is_emulated == emulated


def test_an_emulator_needs_no_variables(account: Account, moto: dict[str, str], no_credentials: None) -> None:
    """The option suffices and overrides AWS_ENDPOINT_URL; clients connect to the same host as functions."""
    name = f"s{uuid.uuid4().hex[:8]}"
    outputs = {
        "ServiceEndpointWebsocket": f"wss://abc.execute-api.{REGION}.amazonaws.com/{name}",
        "ManagementEndpoint": f"{moto['AWS_ENDPOINT_URL']}/_aws/execute-api/abc/{name}",
        "UserPoolId": "pool",
        "UserPoolClientId": "client",
    }
    account.deploy(name, outputs)
    place = parsed("--endpoint-url", moto["AWS_ENDPOINT_URL"])
    gateway_url = outputs["ManagementEndpoint"].replace("http", "ws", 1)
    assert find_stage(name, place) == Stage(name, place, gateway_url, "pool", "client")


def test_another_address_gets_no_keys(no_credentials: None, groupcast: Any) -> None:
    """An emulator's keys are useless there."""
    complaint = groupcast("user", "ann", "--stage", "dev", "--endpoint-url", "http://192.0.2.1").complaint
    assert "there are no AWS credentials: " in complaint


@pytest.mark.parametrize("command", [("user", "ann"), ("token", "ann"), ("failures",)])
def test_a_stopped_emulator_has_a_clear_error(
    account: Account, groupcast: Any, command: tuple[str, ...]
) -> None:
    """With the command to start it, for each command."""
    complaint = groupcast(*command, "--stage", "dev", "--endpoint-url", NOWHERE).complaint
    assert complaint == (
        f"groupcast: nothing listens at {NOWHERE}: start `make emulator`, or check --endpoint-url\n"
    )


@pytest.mark.parametrize("command", [("user", "ann"), ("failures",)])
def test_a_stage_missing_in_an_emulator_has_a_clear_error(
    account: Account, moto: dict[str, str], groupcast: Any, command: tuple[str, ...]
) -> None:
    """With the command that deploys there: `make deploy` would go to AWS."""
    complaint = groupcast(
        *command, "--stage", "nowhere", "--endpoint-url", moto["AWS_ENDPOINT_URL"]
    ).complaint
    port = urlsplit(moto["AWS_ENDPOINT_URL"]).port
    assert f"`.venv/bin/python -m tests.deploy deploy --stage nowhere --port {port}`" in complaint


def test_an_emulator_refusing_the_environments_keys_has_a_clear_error(
    account: Account, groupcast: Any
) -> None:
    """They belong to an AWS account."""
    with refusing_aws("UnrecognizedClientException", "REASON") as url:
        complaint = groupcast("user", "ann", "--stage", "dev", "--endpoint-url", url).complaint
    assert f"{url} does not accept these credentials (UnrecognizedClientException): unset AWS_" in complaint


def test_an_endpoint_without_a_stage_is_wrong_usage(groupcast: Any) -> None:
    """`groupcast token` would ask the local stack."""
    complaint = groupcast("token", "ann", "--endpoint-url", NOWHERE).complaint
    assert "for deployed stages: name one with --stage" in complaint
