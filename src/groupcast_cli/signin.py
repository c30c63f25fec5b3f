"""`groupcast token`: signs in to the user pool of a running `groupcast up`, or of a stage, for a token."""

from __future__ import annotations

import os
import shlex
import sys
from dataclasses import dataclass, field
from getpass import getpass
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from groupcast_cli.arguments import DEFAULT_GATEWAY_PORT, port
from groupcast_cli.runfile import read_published
from groupcast_cli.stage import Place, Stage, add_place, find_stage, one_line
from groupcast_cli.terminal import waiting
from groupcast_cli.users import require_name
from localcloud.errors import SignInError
from localcloud.service.model import REGION

if TYPE_CHECKING:
    import argparse
    from collections.abc import Collection

TIMEOUT_S = 5
ATTEMPTS = 1
PASSWORD_VARIABLE = "GROUPCAST_PASSWORD"  # noqa: S105 - its name, no password


@dataclass(frozen=True, slots=True)
class Tokens:
    """The JWTs of a user."""

    access: str = field(repr=False)
    id: str = field(repr=False)


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to those of `groupcast`."""
    token = commands.add_parser("token", help="sign in and print the token, for wscat")
    token.add_argument("user", metavar="USER", help="a demo user that `up` printed, or another of the pool")
    token.add_argument(
        "--password",
        help=f"the password (default: a demo user's own; for a stage {PASSWORD_VARIABLE} or a prompt)",
    )
    where = token.add_mutually_exclusive_group()
    where.add_argument(
        "--gateway-port",
        type=port,
        default=DEFAULT_GATEWAY_PORT,
        help="sign in to the `up` with this port (default: %(default)s)",
    )
    where.add_argument("--stage", help="sign in to this deployed stage instead")
    add_place(token)
    token.add_argument("--id", action="store_true", help="print the id token instead of the access token")
    token.set_defaults(run=_run)


def sign_in(
    cognito_url: str | None, client_id: str, user: str, password: str, region: str = REGION
) -> Tokens:
    """Sign in with InitiateAuth, as an app does. The default URL is AWS_ENDPOINT_URL, or AWS itself.

    Raises botocore's ClientError and BotoCoreError; SignInError if the pool asks for more than a password.
    """
    cognito = boto3.client(
        "cognito-idp",
        endpoint_url=cognito_url,
        region_name=region,
        config=Config(
            # Users have no AWS credentials.
            signature_version=UNSIGNED,
            connect_timeout=TIMEOUT_S,
            read_timeout=TIMEOUT_S,
            retries={"total_max_attempts": ATTEMPTS},
        ),
    )
    try:
        answer = cognito.initiate_auth(
            ClientId=client_id,
            AuthFlow="USER_PASSWORD_AUTH",
            AuthParameters={"USERNAME": user, "PASSWORD": password},
        )
    finally:
        cognito.close()
    if "ChallengeName" in answer:
        raise SignInError(f"the user pool asks {user} for more than a password: {answer['ChallengeName']}")
    result = answer["AuthenticationResult"]
    return Tokens(access=result["AccessToken"], id=result["IdToken"])


def sign_in_to_stage(stage: Stage, user: str, password: str) -> Tokens:
    """Sign in to a deployed stage. Raises SignInError with a remedy."""
    mended = f"`.venv/bin/groupcast user {shlex.quote(user)} {stage.options} --password …`"
    try:
        return sign_in(stage.place.endpoint_url, stage.client_id, user, password, stage.place.region)
    except ClientError as error:
        if error.response["Error"]["Code"] not in ("NotAuthorizedException", "UserNotFoundException"):
            raise SignInError(_general(error)) from None
        # A pool does not say which of the two is wrong, so that nobody can guess its users.
        reason = one_line(error.response["Error"]["Message"])
        raise SignInError(
            f"stage {stage.name} has no user {user} with this password ({reason}): "
            f"{mended} makes the user or sets the password"
        ) from None
    except BotoCoreError as error:
        raise SignInError(_failure(error)) from None
    except SignInError as error:
        raise SignInError(f"{error}; {mended} sets one that lasts") from None


def stage_password(user: str, stage_name: str) -> str:
    """Read the password from GROUPCAST_PASSWORD, or ask for it. Raises SignInError if neither is possible."""
    if password := os.environ.get(PASSWORD_VARIABLE):
        return password
    if not sys.stdin.isatty():
        raise SignInError(f"{user} needs a password: set {PASSWORD_VARIABLE}")
    try:
        # rich would show the prompt before it turns the echo off.
        password = getpass(f"Password of {user} in stage {stage_name}: ")
    except EOFError:
        password = ""
    if not password:
        raise SignInError(f"no password was entered for {user}: try again, or set {PASSWORD_VARIABLE}")
    return password


def _run(options: argparse.Namespace) -> int:
    require_name(options.user)
    if options.endpoint_url and options.stage is None:
        raise SignInError("--endpoint-url is for deployed stages: name one with --stage")
    tokens = _of_up(options) if options.stage is None else _of_stage(options)
    print(tokens.id if options.id else tokens.access)
    return 0


def _of_up(options: argparse.Namespace) -> Tokens:
    state = read_published(Path.cwd(), options.gateway_port)
    if state is None:
        raise SignInError(_not_running(options.gateway_port))
    if state["auth"] == "none":
        raise SignInError(
            f"the `up` on port {options.gateway_port} has no users: connect with ?name={options.user} "
            "and without a token, or start it with `make up AUTH=cognito`"
        )
    users = state["users"]
    password = options.password or users.get(options.user)
    if password is None:
        raise SignInError(f"{_unknown(options.user, users)}; for other users of the pool give --password")
    try:
        with waiting(f"signing in as {options.user}"):
            return sign_in(state["cognitoUrl"], state["clientId"], options.user, password)
    except ClientError as error:
        raise SignInError(_refusal(error, options.user, users)) from None
    except BotoCoreError as error:
        raise SignInError(_failure(error)) from None


def _of_stage(options: argparse.Namespace) -> Tokens:
    with waiting(f"looking for stage {options.stage}"):
        stage = find_stage(options.stage, Place.of(options))
    password = options.password or stage_password(options.user, stage.name)
    with waiting(f"signing in as {options.user}"):
        return sign_in_to_stage(stage, options.user, password)


def _not_running(gateway_port: int) -> str:
    option = "" if gateway_port == DEFAULT_GATEWAY_PORT else f" GATEWAY_PORT={gateway_port}"
    return (
        f"no `make up AUTH=cognito` is running on port {gateway_port}: start it with "
        f"`make up AUTH=cognito{option}`, name its port with --gateway-port, or a deployed stage with --stage"
    )


def _refusal(error: ClientError, user: str, users: Collection[str]) -> str:
    code = error.response["Error"]["Code"]
    if code == "UserNotFoundException":
        return _unknown(user, users)
    if code == "NotAuthorizedException":
        return f"the password of {user} is wrong; leave --password out for the one that `up` printed"
    return _general(error)


def _general(error: ClientError) -> str:
    return f"signing in was refused: {one_line(error.response['Error']['Message'])}"


def _failure(error: BotoCoreError) -> str:
    return f"signing in failed: {one_line(str(error))}"


def _unknown(user: str, users: Collection[str]) -> str:
    return f"there is no user {user}; the users are {', '.join(users)}"
