"""`groupcast token`: signs in to the user pool of a running `groupcast up` and prints the token."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from localcloud.arguments import DEFAULT_GATEWAY_PORT, REGION, port
from localcloud.errors import SignInError
from localcloud.runfile import read_published

if TYPE_CHECKING:
    import argparse
    from collections.abc import Collection

TIMEOUT_S = 5
ATTEMPTS = 1


@dataclass(frozen=True, slots=True)
class Tokens:
    """What signing in gives: JWTs of the user pool."""

    access: str = field(repr=False)
    id: str = field(repr=False)


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to those of `groupcast`."""
    token = commands.add_parser("token", help="print the token of a user of `up --auth cognito`, for wscat")
    token.add_argument("user", metavar="USER", help="a demo user that `up` printed, or another of the pool")
    token.add_argument("--password", help="a demo user's is known")
    token.add_argument(
        "--gateway-port", type=port, default=DEFAULT_GATEWAY_PORT, help="of the `up` to sign in to"
    )
    token.add_argument("--id", action="store_true", help="the id token, not the access token")
    token.set_defaults(run=_run)


def sign_in(cognito_url: str, client_id: str, user: str, password: str) -> Tokens:
    """Sign in with InitiateAuth, as an app does. Raises botocore's ClientError and BotoCoreError.

    SignInError where the pool asks for more than a password.
    """
    cognito = boto3.client(
        "cognito-idp",
        endpoint_url=cognito_url,
        region_name=REGION,
        config=Config(
            # Whoever signs in has no AWS credentials.
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


def _run(options: argparse.Namespace) -> int:
    state = read_published(Path.cwd(), options.gateway_port)
    if state is None:
        raise SignInError(_not_running(options.gateway_port))
    if state["auth"] == "none":
        raise SignInError(
            f"nobody signs in on port {options.gateway_port}: connect with ?name={options.user} "
            "and no token, or start it with `make up AUTH=cognito`"
        )
    users = state["users"]
    password = options.password or users.get(options.user)
    if password is None:
        raise SignInError(f"{_unknown(options.user, users)}; for anyone else give --password, too")
    try:
        tokens = sign_in(state["cognitoUrl"], state["clientId"], options.user, password)
    except ClientError as error:
        raise SignInError(_refusal(error, options.user, users)) from None
    except BotoCoreError as error:
        raise SignInError(f"signing in failed: {' '.join(str(error).split())}") from None
    print(tokens.id if options.id else tokens.access)
    return 0


def _not_running(gateway_port: int) -> str:
    option = "" if gateway_port == DEFAULT_GATEWAY_PORT else f" GATEWAY_PORT={gateway_port}"
    return (
        f"no `make up AUTH=cognito` is running on port {gateway_port}: start it with "
        f"`make up AUTH=cognito{option}`, or name its port with --gateway-port"
    )


def _refusal(error: ClientError, user: str, users: Collection[str]) -> str:
    code = error.response["Error"]["Code"]
    if code == "UserNotFoundException":
        return _unknown(user, users)
    if code == "NotAuthorizedException":
        return f"the password of {user} is wrong; leave --password out for the one that `up` printed"
    return f"signing in was refused: {error.response['Error']['Message']}"


def _unknown(user: str, users: Collection[str]) -> str:
    return f"there is no user {user}; those who can sign in are {', '.join(users)}"
