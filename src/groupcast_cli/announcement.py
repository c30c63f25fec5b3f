"""The announcement of `groupcast up`: for people, for programs, and for the other commands."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from groupcast_cli.arguments import DEFAULT_GATEWAY_PORT
from groupcast_cli.stage import WSCAT

if TYPE_CHECKING:
    from pathlib import Path

    from localcloud.backends.userpool import DemoUser, OpenUserPool
    from localcloud.cloud import LocalCloud

# The users in the two commands to paste.
PASTED = ("ann", "bob")


def as_json(cloud: LocalCloud) -> str:
    """One line of JSON: all addresses and, with a user pool, its users."""
    places: dict[str, Any] = {
        "pageUrl": cloud.page_url,
        "gatewayUrl": cloud.gateway_url,
        "managementUrl": cloud.management_url,
        "dynamodbUrl": cloud.dynamodb_url,
        "sqsUrl": cloud.sqs_url,
        "requestsUrl": cloud.requests_url,
    }
    if cloud.user_pool is not None:
        places |= {
            "cognitoUrl": cloud.user_pool.endpoint,
            "userPoolId": cloud.user_pool.pool_id,
            "clientId": cloud.user_pool.client_id,
            "users": [{"name": user.name, "password": user.password} for user in cloud.user_pool.users],
        }
    return json.dumps(places)


def for_other_commands(cloud: LocalCloud) -> dict[str, Any]:
    """State for `groupcast token`: `auth` and, with cognito, the user pool and its demo users."""
    if cloud.user_pool is None:
        return {"auth": "none"}
    return {
        "auth": "cognito",
        "cognitoUrl": cloud.user_pool.endpoint,
        "clientId": cloud.user_pool.client_id,
        "users": {user.name: user.password for user in cloud.user_pool.users},
    }


def as_text(cloud: LocalCloud, log: Path) -> str:
    """Addresses and commands for a first chat, ready to paste."""
    pool = cloud.user_pool
    return f"""
groupcast is up. {_access(pool)}

  chat page      {cloud.page_url}
  gateway        {cloud.gateway_url}
  @connections   {cloud.management_url}/@connections/…
  DynamoDB       {cloud.dynamodb_url} (DynamoDB Local)
{_sign_in_place(pool)}  function logs  {log}

Open the page in two windows, or use two more terminals:

{_pasted(cloud)}

Type the first line in both of them, then the second line in one:

  {{"action":"joinGroup","groupId":"group1"}}
  {{"action":"sendMessage","message":"안녕하세요!"}}

Ctrl-C stops everything."""


def _access(pool: OpenUserPool | None) -> str:
    if pool is None:
        return "No sign-in is needed: ?name= names a connection."
    lines = "\n".join(_user_line(user) for user in pool.users)
    return f"Users sign in; groups called private-… are for their members:\n\n{lines}"


def _user_line(user: DemoUser) -> str:
    groups = ", ".join(user.groups) or "no private group"
    return f"  {user.name:<14} password {user.password}, member of {groups}"


def _sign_in_place(pool: OpenUserPool | None) -> str:
    return "" if pool is None else f"  Cognito        {pool.endpoint} (user pool {pool.pool_id})\n"


def _pasted(cloud: LocalCloud) -> str:
    if cloud.user_pool is None:
        return "\n".join(f"  {WSCAT} -c '{cloud.gateway_url}?name={name}'" for name in PASTED)
    option = "" if cloud.gateway_port == DEFAULT_GATEWAY_PORT else f" --gateway-port {cloud.gateway_port}"
    return "\n".join(
        f'  {WSCAT} -c "{cloud.gateway_url}?token=$(.venv/bin/groupcast token {name}{option})"'
        for name in PASTED
    )
