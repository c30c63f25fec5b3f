"""The local stack for tests: the same command that a user runs, started once."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from hypothesis import settings

from groupcast_cli.signin import sign_in
from localcloud.backends.dynamodb import create_tables
from localcloud.service import model
from localcloud.service.definition import load_service

if TYPE_CHECKING:
    from collections.abc import Iterator

    from localcloud.service.model import Service

# No deadline: on a busy machine an example may take long.
settings.register_profile("groupcast", deadline=None)
settings.load_profile("groupcast")

ROOT = Path(__file__).parent.parent
GROUPCAST = str(Path(sys.executable).parent / "groupcast")
START_TIMEOUT_S = 60
STOP_TIMEOUT_S = 30
REGION = model.REGION


@dataclass(frozen=True)
class Stack:
    """The addresses of a running `groupcast up`; Cognito and its users only with `--auth cognito`."""

    process: subprocess.Popen[str]
    page_url: str
    gateway_url: str
    management_url: str
    dynamodb_url: str
    sqs_url: str
    log: Path
    cognito_url: str = ""
    user_pool_id: str = ""
    client_id: str = ""
    passwords: dict[str, str] = field(default_factory=dict)
    requests_url: str = ""

    @property
    def gateway_port(self) -> str:
        return str(urlsplit(self.gateway_url).port)

    def token(self, user: str, use: str = "access") -> str:
        """Sign in a demo user and return the token; `use` is `access` or `id`."""
        tokens = sign_in(self.cognito_url, self.client_id, user, self.passwords[user])
        return tokens.id if use == "id" else tokens.access

    def aws(self, url: str) -> dict[str, Any]:
        """Keyword arguments of a boto client for one of the stack's endpoints."""
        return {
            "endpoint_url": url,
            "region_name": REGION,
            "aws_access_key_id": "localcloud",
            "aws_secret_access_key": "localcloud",
        }


@contextmanager
def running_stack(log: Path, *arguments: str, root: Path = ROOT) -> Iterator[Stack]:
    """Run `groupcast up` on free ports; at the end SIGINT must stop it with exit code 0.

    `root` is the folder of serverless.yml. --handler can name functions of tests.
    """
    command = [GROUPCAST, "up", "--json", "--page-port", "0", "--gateway-port", "0", "--log", str(log)]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [*command, *arguments], cwd=root, env=env, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line, f"groupcast up ended with {process.wait(START_TIMEOUT_S)}"
            said = json.loads(line)
            yield Stack(
                process,
                said["pageUrl"],
                said["gatewayUrl"],
                said["managementUrl"],
                said["dynamodbUrl"],
                said["sqsUrl"],
                log,
                said.get("cognitoUrl", ""),
                said.get("userPoolId", ""),
                said.get("clientId", ""),
                {user["name"]: user["password"] for user in said.get("users", ())},
                said["requestsUrl"],
            )
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
        assert process.wait(STOP_TIMEOUT_S) == 0


def amended_root(directory: Path, *changes: tuple[str, str]) -> Path:
    """A root for `running_stack` whose serverless.yml has some texts replaced."""
    text = (ROOT / "serverless.yml").read_text()
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    (directory / "serverless.yml").write_text(text)
    (directory / "node_modules").symlink_to(ROOT / "node_modules")
    return directory


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The stack of `make up`, on other ports."""
    with running_stack(tmp_path_factory.mktemp("stack") / "functions.log") as running:
        yield running


@pytest.fixture(scope="session")
def cognito_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The stack of `make up AUTH=cognito`, on other ports."""
    log = tmp_path_factory.mktemp("cognito") / "functions.log"
    with running_stack(log, "--auth", "cognito") as running:
        yield running


@pytest.fixture(scope="session")
def unit_service() -> Service:
    """serverless.yml for a stage of its own, with its own tables."""
    return load_service(ROOT / "serverless.yml", stage="unit", region=REGION, params={})


@pytest.fixture(scope="session")
def unit_tables(stack: Stack, unit_service: Service) -> dict[str, str]:
    """Real tables by logical id, on the stack's DynamoDB, without functions."""
    asyncio.run(create_tables(unit_service.tables.values(), stack.aws(stack.dynamodb_url)))
    return {logical_id: table.name for logical_id, table in unit_service.tables.items()}
