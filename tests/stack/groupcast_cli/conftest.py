"""An AWS account on moto, with deployed stages."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from typing import Any

import boto3
import pytest
import pytest_asyncio

from groupcast_cli.main import main
from localcloud.backends.moto import Moto
from tests.conftest import REGION
from tests.stack.groupcast_cli.support import Account, Said


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def moto() -> AsyncIterator[dict[str, str]]:
    """The environment of a command whose AWS account is on a moto server."""
    async with Moto() as server:
        yield {
            "AWS_ENDPOINT_URL": server.endpoint,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            # Do not look for credentials outside of this machine.
            "AWS_EC2_METADATA_DISABLED": "true",
        }


@pytest.fixture(scope="package")
def moto_account(moto: dict[str, str]) -> Iterator[Account]:
    options = {
        "region_name": REGION,
        "endpoint_url": moto["AWS_ENDPOINT_URL"],
        "aws_access_key_id": "test",
        "aws_secret_access_key": "test",
    }
    session = boto3.Session()
    with (
        closing(session.client("cloudformation", **options)) as cloudformation,
        closing(session.client("cognito-idp", **options)) as cognito,
        closing(session.client("sqs", **options)) as sqs,
    ):
        yield Account(cloudformation, cognito, sqs, moto)


@pytest.fixture
def account(moto_account: Account, monkeypatch: pytest.MonkeyPatch) -> Account:
    """Make this process use the account."""
    for name in [name for name in os.environ if name.startswith(("AWS_", "GROUPCAST_"))]:
        monkeypatch.delenv(name)
    for name, value in moto_account.environment.items():
        monkeypatch.setenv(name, value)
    return moto_account


@pytest.fixture
def groupcast(capsys: pytest.CaptureFixture[str]) -> Any:
    """Runs a command of `groupcast`."""

    def run(*arguments: str) -> Said:
        code = main(arguments)
        return Said(code, *capsys.readouterr())

    return run
