"""Artifacts, built once each from a copy of the sources that nobody edits meanwhile; an account on moto."""

from __future__ import annotations

import os
import shutil
import sys
import zipfile
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import boto3
import pytest
import pytest_asyncio

from groupcast_deploy.artifact import Target, build
from localcloud.cli import main
from localcloud.moto import Moto
from tests.conftest import REGION, ROOT
from tests.unit.groupcast_deploy.support import HOST_ARCHITECTURE, Account, BuildFor, Built, Said, Sources


@pytest.fixture(scope="session")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Sources:
    """Copies what an artifact is made of into a new folder of the given name."""

    def copy(name: str) -> Path:
        folder = tmp_path_factory.mktemp(name)
        for file in ("pyproject.toml", "requirements.lock"):
            shutil.copyfile(ROOT / file, folder / file)
        shutil.copytree(ROOT / "src" / "groupcast", folder / "src" / "groupcast")
        return folder

    return copy


@pytest.fixture(scope="session")
def checkout(sources: Sources) -> Path:
    return sources("checkout")


@pytest.fixture(scope="session")
def build_for(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> BuildFor:
    """The artifact for a target: built when first asked for."""
    made: dict[Target, Built] = {}

    def make(target: Target) -> Built:
        if target not in made:
            folder = tmp_path_factory.mktemp(f"{target.runtime}-{target.architecture}")
            output = folder / "groupcast.zip"
            build(checkout, target, output)
            with zipfile.ZipFile(output) as archive:
                archive.extractall(folder / "task")
            made[target] = Built(output, folder / "task")
        return made[target]

    return make


@pytest.fixture(scope="session", params=["arm64", "x86_64"])
def target(request: pytest.FixtureRequest) -> Target:
    return Target(architecture=request.param)


@pytest.fixture(scope="session")
def built(build_for: BuildFor, target: Target) -> Built:
    return build_for(target)


@pytest.fixture(scope="session")
def here() -> Target:
    """The running interpreter's own version and machine."""
    if sys.platform != "linux" or HOST_ARCHITECTURE is None:
        pytest.skip("Lambda's libraries load on Linux only")
    return Target(f"python3.{sys.version_info.minor}", HOST_ARCHITECTURE)


@pytest.fixture(autouse=True)
def no_blocking_calls() -> None:
    """Nothing here is deployed or shares an event loop: the command line may block."""


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def moto() -> AsyncIterator[dict[str, str]]:
    """The environment of a command that finds its AWS account on a moto server."""
    async with Moto() as server:
        yield {
            "AWS_ENDPOINT_URL": server.endpoint,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            # Nobody looks for credentials outside of this machine.
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
    """The account is where this process looks for AWS."""
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
