"""The local user pool, created in moto's server from serverless.yml, with three demo users.

moto signs every token with a key pair published in its package, so anybody can forge a token. That is
acceptable only here: the pool serves 127.0.0.1, has demo users with printed passwords and ends with the
command. No stage on AWS trusts its key or issuer.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import aioboto3
from botocore.exceptions import BotoCoreError, ClientError

from localcloud.errors import ServiceError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from localcloud.service.model import Service, UserPool, UserPoolClient


@dataclass(frozen=True, slots=True)
class DemoUser:
    """A user who can sign in; `groups` are those of the user pool (`cognito:groups` in a token)."""

    name: str
    password: str = field(repr=False)
    groups: tuple[str, ...] = ()


# Not secrets: `up` prints them. The user without groups demonstrates private groups.
DEMO_USERS = (
    DemoUser("ann", "ann-Chats-2026", ("private-team",)),
    DemoUser("bob", "bob-Chats-2026", ("private-team",)),
    DemoUser("eve", "eve-Chats-2026"),
)


@dataclass(frozen=True, slots=True)
class OpenUserPool:
    """A created user pool. `endpoint` is the base URL of its API; `ids` are by logical id."""

    endpoint: str
    pool_id: str
    client_id: str
    users: tuple[DemoUser, ...]
    ids: Mapping[str, str]


def only_pool(service: Service) -> tuple[UserPool, UserPoolClient]:
    """The service's user pool and its client; ServiceError unless there is exactly one of each."""
    pools, clients = service.user_pools.values(), service.user_pool_clients.values()
    if len(pools) != 1 or len(clients) != 1:
        raise ServiceError(
            "serverless.yml: to sign in, resources must have one AWS::Cognito::UserPool with one "
            f"AWS::Cognito::UserPoolClient; there are {len(pools)} and {len(clients)}"
        )
    return next(iter(pools)), next(iter(clients))


async def create_user_pool(service: Service, aws: Mapping[str, Any]) -> OpenUserPool:
    """Create the service's user pool, its client, and DEMO_USERS with permanent passwords.

    `aws` are the keyword arguments of a client: endpoint_url, region_name, credentials. ServiceError unless
    serverless.yml has exactly one pool with one client, or if moto refuses them.
    """
    pool, client = only_pool(service)
    async with aioboto3.Session().client("cognito-idp", **aws) as cognito:
        try:
            pool_id = (await cognito.create_user_pool(**pool.definition))["UserPool"]["Id"]
            made = await cognito.create_user_pool_client(UserPoolId=pool_id, **client.definition)
            await _create_users(cognito, pool_id, DEMO_USERS)
        except (ClientError, BotoCoreError) as error:
            reason = " ".join(str(error).split())
            raise ServiceError(f"serverless.yml: resources.{pool.logical_id}: {reason}") from None
    client_id = made["UserPoolClient"]["ClientId"]
    return OpenUserPool(
        endpoint=aws["endpoint_url"],
        pool_id=pool_id,
        client_id=client_id,
        users=DEMO_USERS,
        ids={pool.logical_id: pool_id, client.logical_id: client_id},
    )


async def _create_users(cognito: Any, pool_id: str, users: Iterable[DemoUser]) -> None:
    for group in sorted({group for user in users for group in user.groups}):
        await cognito.create_group(UserPoolId=pool_id, GroupName=group)
    for user in users:
        who = {"UserPoolId": pool_id, "Username": user.name}
        await cognito.admin_create_user(**who, MessageAction="SUPPRESS")
        await cognito.admin_set_user_password(**who, Password=user.password, Permanent=True)
        for group in user.groups:
            await cognito.admin_add_user_to_group(**who, GroupName=group)
