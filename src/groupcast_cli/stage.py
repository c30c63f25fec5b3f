"""A deployed stage: found by its CloudFormation stack, asked with the credentials that deployed it."""

from __future__ import annotations

import argparse
import os
import shlex
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    EndpointConnectionError,
    NoCredentialsError,
    ParamValidationError,
)

from localcloud.service.model import REGION

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# As in serverless.yml: it begins the name of the stack.
SERVICE = "groupcast"
# As `make setup` installs it, so that printed commands can be pasted.
WSCAT = ".venv/bin/node node_modules/.bin/wscat"

CONFIG = Config(connect_timeout=5, read_timeout=20, retries={"total_max_attempts": 2, "mode": "standard"})
# Emulators take these for the owner of the account.
EMULATOR_KEYS = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
CREDENTIALS = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
NOT_ACCEPTED = frozenset(
    """ExpiredToken ExpiredTokenException IncompleteSignature InvalidAccessKeyId InvalidClientTokenId
    InvalidSignatureException SignatureDoesNotMatch UnrecognizedClientException""".split()
)
NOT_ALLOWED = frozenset({"AccessDenied", "AccessDeniedException"})


class StageError(Exception):
    """A stage is missing, or AWS refuses; the text has reason and remedy in one line."""


@dataclass(frozen=True, slots=True)
class Place:
    """A region of AWS; `endpoint_url` is the one address of all services, where an emulator has them."""

    region: str = REGION
    endpoint_url: str | None = None

    @classmethod
    def of(cls, options: argparse.Namespace) -> Place:
        """The place that the options of `add_place` name."""
        return cls(options.region, options.endpoint_url)

    @property
    def options(self) -> str:
        """The options that name this place to a command; empty for the usual one."""
        region = f" --region {self.region}" if self.region != REGION else ""
        return region + (f" --endpoint-url {shlex.quote(self.endpoint_url)}" if self.endpoint_url else "")

    @property
    def is_emulated(self) -> bool:
        """Whether the endpoint is on this machine."""
        host = urlsplit(self.endpoint_url or "").hostname or ""
        try:
            return ip_address(host).is_loopback
        except ValueError:
            return host == "localhost"


@dataclass(frozen=True, slots=True)
class Stage:
    """The clients' view of a stage, from the outputs of its stack; `gateway_url` begins with wss://.

    An emulator's gateway URL begins with ws://.
    """

    name: str
    place: Place
    gateway_url: str
    user_pool_id: str
    client_id: str

    @property
    def options(self) -> str:
        """The options that name this stage to a command."""
        return f"--stage {self.name}{self.place.options}"


def add_stage(parser: argparse.ArgumentParser) -> None:
    """Add the required option `--stage`."""
    parser.add_argument("--stage", required=True, help="the deployed stage, such as dev")


def add_place(parser: argparse.ArgumentParser) -> None:
    """Add the options `--region`, which has the default that deploying has, and `--endpoint-url`."""
    parser.add_argument("--region", default=REGION, help="the stage's region (default: %(default)s)")
    parser.add_argument(
        "--endpoint-url",
        type=_url,
        metavar="URL",
        help="send requests for all AWS services here, such as to `make emulator`, which needs no "
        "credentials (default: AWS_ENDPOINT_URL, or AWS)",
    )


def find_stage(name: str, place: Place) -> Stage:
    """Ask CloudFormation for the stage. Raises StageError if it is missing or incomplete."""
    stack_name = f"{SERVICE}-{name}"
    with client("cloudformation", place) as cloudformation:
        try:
            stack = cloudformation.describe_stacks(StackName=stack_name)["Stacks"][0]
        except ClientError as error:
            # The code, ValidationError, is also that of a name which no stack can have.
            if "does not exist" not in error.response["Error"].get("Message", ""):
                raise
            raise StageError(
                f"there is no stack {stack_name} in {place.region}: {deploy_hint(name, place)}, "
                "or name another stage with --stage, another region with --region"
            ) from None
    return stage_of(name, place, stack)


def stage_of(name: str, place: Place, stack: Mapping[str, Any]) -> Stage:
    """Read the stage from an answer of DescribeStacks. Raises StageError if the stack lacks an output."""
    given = outputs(stack)
    try:
        return Stage(
            name=name,
            place=place,
            # Clients connect where functions post. The other output has AWS's host, also on an emulator.
            gateway_url=f"ws{given['ManagementEndpoint'].removeprefix('http')}",
            user_pool_id=given["UserPoolId"],
            client_id=given["UserPoolClientId"],
        )
    except KeyError as missing:
        raise StageError(
            f"the stack {SERVICE}-{name} in {place.region} is {stack['StackStatus']} and has no output "
            f"{missing.args[0]}: wait until it is deployed, or {deploy_hint(name, place)}"
        ) from None


def outputs(stack: Mapping[str, Any]) -> dict[str, str]:
    """The outputs in an answer of DescribeStacks."""
    return {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", ())}


@contextmanager
def client(service: str, place: Place) -> Iterator[Any]:
    """A boto3 client. Errors of AWS that are not caught while it is open become StageError."""
    try:
        # A session of its own: the default one keeps the credentials that it met first.
        aws = boto3.Session(**session_keys(place)).client(
            service, region_name=place.region, endpoint_url=place.endpoint_url, config=CONFIG
        )
    except (BotoCoreError, ValueError) as error:
        # An unknown profile; ValueError: a malformed AWS_ENDPOINT_URL.
        raise StageError(explained(error, place)) from None
    try:
        yield aws
    except (BotoCoreError, ClientError) as error:
        raise StageError(explained(error, place)) from None
    finally:
        aws.close()


def session_keys(place: Place) -> dict[str, str]:
    """Arguments of a session there: fixed keys for an emulator, unless the environment has some."""
    # A real profile means nothing to an emulator, so only keys from the environment take precedence.
    return EMULATOR_KEYS if place.is_emulated and "AWS_ACCESS_KEY_ID" not in os.environ else {}


def explained(error: Exception, place: Place) -> str:
    """One line with reason and remedy for an error of botocore."""
    return _refusal(error, place) if isinstance(error, ClientError) else _unasked(error, place)


def deploy_hint(stage: str, place: Place) -> str:
    """A clause with the command that deploys the stage there."""
    command = f"make deploy STAGE={stage}"
    if place.is_emulated:
        port = urlsplit(place.endpoint_url or "").port or 80
        command = f".venv/bin/python -m tests.deploy deploy --stage {stage} --port {port}"
    return f"deploy it with `{command}`"


def one_line(text: str) -> str:
    return " ".join(text.split())


def _url(text: str) -> str:
    try:
        parts = urlsplit(text)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if not valid:
        raise argparse.ArgumentTypeError(f"{text!r} is not a URL such as http://127.0.0.1:4566")
    return text


def _refusal(error: ClientError, place: Place) -> str:
    code = error.response["Error"]["Code"]
    if code in NOT_ACCEPTED and place.is_emulated:
        return f"{place.endpoint_url} does not accept these credentials ({code}): unset AWS_ACCESS_KEY_ID"
    if code in NOT_ACCEPTED:
        # The message may repeat the signed headers, the session token among them.
        return f"AWS does not accept these credentials ({code}): {CREDENTIALS} to ones that are valid"
    message = one_line(error.response["Error"].get("Message", ""))
    if code in NOT_ALLOWED:
        return f"these credentials may not do that: {message}; {CREDENTIALS} to ones that may"
    return f"AWS refuses {error.operation_name}: {code}: {message}"


def _unasked(error: Exception, place: Place) -> str:
    if isinstance(error, NoCredentialsError):
        return f"there are no AWS credentials: {CREDENTIALS}, as for deploying"
    if isinstance(error, ParamValidationError):
        # The text has lengths, but no values.
        return f"an option is not what AWS takes: {one_line(str(error))}"
    if place.is_emulated and isinstance(error, EndpointConnectionError):
        return f"nothing listens at {place.endpoint_url}: start `make emulator`, or check --endpoint-url"
    checks = "--endpoint-url" if place.endpoint_url else "AWS_PROFILE, AWS_ENDPOINT_URL, --region"
    return f"AWS could not be asked: {one_line(str(error))}; check {checks}"
