"""A deployed stage: found by its CloudFormation stack, asked with the credentials that deployed it."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, ParamValidationError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Mapping

# As in serverless.yml: they make the name of the stack, and where it is unless --region says otherwise.
SERVICE = "groupcast"
# As `make setup` installs it; what is printed with it can be pasted.
WSCAT = ".venv/bin/node node_modules/.bin/wscat"
REGION = "us-east-1"

CONFIG = Config(connect_timeout=5, read_timeout=20, retries={"total_max_attempts": 2, "mode": "standard"})
CREDENTIALS = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
NOT_ACCEPTED = frozenset(
    """ExpiredToken ExpiredTokenException IncompleteSignature InvalidAccessKeyId InvalidClientTokenId
    InvalidSignatureException SignatureDoesNotMatch UnrecognizedClientException""".split()
)
NOT_ALLOWED = frozenset({"AccessDenied", "AccessDeniedException"})


class StageError(Exception):
    """A stage is not there, or AWS refuses; the text says why in one line, and what to do."""


@dataclass(frozen=True, slots=True)
class Stage:
    """What the stack of a stage gives away to clients; `gateway_url` is the wss:// one."""

    name: str
    region: str
    gateway_url: str
    user_pool_id: str
    client_id: str

    @property
    def options(self) -> str:
        """The options that name this stage to a command."""
        return f"--stage {self.name}" + (f" --region {self.region}" if self.region != REGION else "")


def add_region(parser: argparse.ArgumentParser) -> None:
    """Add the option `--region`, which has the default that deploying has."""
    parser.add_argument("--region", default=REGION, help=f"of the stage, {REGION} unless given")


def find_stage(name: str, region: str) -> Stage:
    """Ask CloudFormation for the stage. StageError where it is not there, or not completely."""
    stack_name = f"{SERVICE}-{name}"
    with client("cloudformation", region) as cloudformation:
        try:
            stack = cloudformation.describe_stacks(StackName=stack_name)["Stacks"][0]
        except ClientError as error:
            # The code, ValidationError, is also that of a name which no stack can have.
            if "does not exist" not in error.response["Error"].get("Message", ""):
                raise
            raise StageError(
                f"there is no stack {stack_name} in {region}: {_deploy(name)}, "
                "or name another stage with --stage, another region with --region"
            ) from None
    outputs = {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", ())}
    return _from_outputs(name, region, outputs, stack["StackStatus"])


@contextmanager
def client(service: str, region: str) -> Iterator[Any]:
    """A boto3 client. What AWS refuses while it is open, and is not caught there, becomes StageError."""
    try:
        # A session of its own: the default one keeps the credentials that it met first.
        aws = boto3.Session().client(service, region_name=region, config=CONFIG)
    except (BotoCoreError, ValueError) as error:
        # An unknown profile; ValueError: a malformed AWS_ENDPOINT_URL.
        raise StageError(_unasked(error)) from None
    try:
        yield aws
    except ClientError as error:
        raise StageError(_refusal(error)) from None
    except BotoCoreError as error:
        raise StageError(_unasked(error)) from None
    finally:
        aws.close()


def _from_outputs(name: str, region: str, outputs: Mapping[str, str], status: str) -> Stage:
    try:
        return Stage(
            name=name,
            region=region,
            gateway_url=outputs["ServiceEndpointWebsocket"],
            user_pool_id=outputs["UserPoolId"],
            client_id=outputs["UserPoolClientId"],
        )
    except KeyError as missing:
        raise StageError(
            f"the stack {SERVICE}-{name} in {region} is {status} and has no output {missing.args[0]}: "
            f"wait until it is deployed, or {_deploy(name)}"
        ) from None


def _deploy(stage: str) -> str:
    return f"deploy it with `make deploy STAGE={stage}`"


def _refusal(error: ClientError) -> str:
    code = error.response["Error"]["Code"]
    if code in NOT_ACCEPTED:
        # The message may repeat the signed headers, the session token among them.
        return f"AWS does not accept these credentials ({code}): {CREDENTIALS} to ones that are valid"
    message = one_line(error.response["Error"].get("Message", ""))
    if code in NOT_ALLOWED:
        return f"these credentials may not do that: {message}; {CREDENTIALS} to ones that may"
    return f"AWS refuses {error.operation_name}: {code}: {message}"


def _unasked(error: Exception) -> str:
    if isinstance(error, NoCredentialsError):
        return f"there are no AWS credentials: {CREDENTIALS}, as for deploying"
    if isinstance(error, ParamValidationError):
        # It gives lengths, not what was given.
        return f"an option is not what AWS takes: {one_line(str(error))}"
    return f"AWS could not be asked: {one_line(str(error))}; check AWS_PROFILE, AWS_ENDPOINT_URL, --region"


def one_line(text: str) -> str:
    return " ".join(text.split())
