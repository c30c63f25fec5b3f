"""The user pool in moto's real server: sign-in, and the content of tokens."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import aioboto3
import aiohttp
import jwt
import pytest
import pytest_asyncio
from botocore.exceptions import ClientError

from groupcast_cli.signin import Tokens, sign_in
from localcloud.backends.moto import Moto
from localcloud.backends.userpool import DEMO_USERS, OpenUserPool, create_user_pool
from localcloud.errors import ServiceError, SignInError
from tests.conftest import REGION

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from localcloud.service.model import Service

PAGE = "http://127.0.0.1:3000"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def moto() -> AsyncIterator[dict[str, Any]]:
    """Keyword arguments of a client for a moto server."""
    async with Moto() as server:
        yield {
            "endpoint_url": server.endpoint,
            "region_name": REGION,
            "aws_access_key_id": "localcloud",
            "aws_secret_access_key": "localcloud",
        }


@pytest.fixture
async def pool(moto: dict[str, Any], unit_service: Service) -> OpenUserPool:
    return await create_user_pool(unit_service, moto)


def tokens(pool: OpenUserPool, user: str, password: str) -> Tokens:
    return sign_in(pool.endpoint, pool.client_id, user, password)


async def verified(pool: OpenUserPool, token: str, audience: str | None) -> dict[str, Any]:
    """The claims, after verifying signature, issuer and audience."""
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{pool.endpoint}/{pool.pool_id}/.well-known/jwks.json") as response,
    ):
        keys = jwt.PyJWKSet.from_dict(json.loads(await response.read()))
    key = keys[jwt.get_unverified_header(token)["kid"]]
    issuer = f"https://cognito-idp.{REGION}.amazonaws.com/{pool.pool_id}"
    claims: dict[str, Any] = jwt.decode(token, key, algorithms=["RS256"], issuer=issuer, audience=audience)
    return claims


async def test_each_demo_user_signs_in(pool: OpenUserPool) -> None:
    """Both tokens verify against the pool's JWKS and name the user, the client and the groups."""
    assert [user.name for user in pool.users] == ["ann", "bob", "eve"]
    for user in pool.users:
        got = tokens(pool, user.name, user.password)
        access = await verified(pool, got.access, audience=None)
        identity = await verified(pool, got.id, audience=pool.client_id)
        assert (access["token_use"], identity["token_use"]) == ("access", "id")
        assert access["client_id"] == pool.client_id
        assert access["username"] == identity["cognito:username"] == user.name
        assert access["sub"] == identity["sub"]
        for claims in (access, identity):
            assert tuple(claims.get("cognito:groups", ())) == user.groups


async def test_someone_is_in_the_private_group_and_someone_is_not(pool: OpenUserPool) -> None:
    """So that users can try both."""
    assert [user.name for user in pool.users if "private-team" in user.groups] == ["ann", "bob"]


@pytest.mark.parametrize(("user", "code"), [("ann", "NotAuthorized"), ("zoe", "UserNotFound")])
async def test_nobody_else_signs_in(pool: OpenUserPool, user: str, code: str) -> None:
    """Neither a wrong password nor an unknown user."""
    with pytest.raises(ClientError, match=code):
        tokens(pool, user, "wrong-Password-1")


async def test_a_temporary_password_gets_no_token(pool: OpenUserPool, moto: dict[str, Any]) -> None:
    """An administrator created the user with it."""
    async with aioboto3.Session().client("cognito-idp", **moto) as cognito:
        await cognito.admin_create_user(
            UserPoolId=pool.pool_id, Username="zoe", TemporaryPassword="zoe-Chats-2026"
        )
    with pytest.raises(SignInError, match="asks zoe for more than a password: NEW_PASSWORD_REQUIRED"):
        tokens(pool, "zoe", "zoe-Chats-2026")


async def test_every_start_creates_its_own_pool(
    pool: OpenUserPool, moto: dict[str, Any], unit_service: Service
) -> None:
    """Environments get the API's ids by logical id."""
    other = await create_user_pool(unit_service, moto)
    assert other.pool_id != pool.pool_id
    assert pool.ids == {"UserPool": pool.pool_id, "UserPoolClient": pool.client_id}


async def test_a_page_may_call_it_from_its_own_origin(pool: OpenUserPool) -> None:
    """The preflight and the response of the sign-in call allow the page's origin and the headers."""
    headers = {"Content-Type": "application/x-amz-json-1.1", "Origin": PAGE}
    target = {"X-Amz-Target": "AWSCognitoIdentityProviderService.InitiateAuth"}
    asked = {
        "Origin": PAGE,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "content-type,x-amz-target",
    }
    body = {
        "AuthFlow": "USER_PASSWORD_AUTH",
        "ClientId": pool.client_id,
        "AuthParameters": {"USERNAME": "ann", "PASSWORD": DEMO_USERS[0].password},
    }
    async with aiohttp.ClientSession() as session:
        async with session.options(f"{pool.endpoint}/", headers=asked) as preflight:
            assert preflight.ok
            assert preflight.headers["Access-Control-Allow-Origin"] in (PAGE, "*")
            assert "POST" in preflight.headers["Access-Control-Allow-Methods"]
            allowed = preflight.headers["Access-Control-Allow-Headers"].lower()
            assert {"content-type", "x-amz-target"} <= set(allowed.replace(" ", "").split(","))
        async with session.post(f"{pool.endpoint}/", headers=headers | target, json=body) as answer:
            assert answer.headers["Access-Control-Allow-Origin"] in (PAGE, "*")
            result = json.loads(await answer.read())["AuthenticationResult"]
    assert (await verified(pool, result["AccessToken"], audience=None))["username"] == "ann"


async def test_a_service_without_a_pool_is_an_error(moto: dict[str, Any], unit_service: Service) -> None:
    """Sign-in needs exactly one pool with one client."""
    with pytest.raises(ServiceError, match=r"one AWS::Cognito::UserPool .* there are 0 and 1"):
        await create_user_pool(replace(unit_service, user_pools={}), moto)


@pytest.mark.parametrize(
    ("setting", "complaint"),
    [
        ({"Policies": {"PasswordPolicy": {"MinimumLength": 99}}}, "InvalidPassword"),
        ({"Policies": {"PasswordPolicy": {"MinimumLength": "long"}}}, "MinimumLength"),
    ],
)
async def test_a_refused_pool_is_an_error_in_one_line(
    moto: dict[str, Any], unit_service: Service, setting: dict[str, Any], complaint: str
) -> None:
    """A policy that the demo passwords break, or a setting that the API refuses."""
    pool = unit_service.user_pools["UserPool"]
    changed = replace(pool, definition={**pool.definition, **setting})
    with pytest.raises(
        ServiceError, match=rf"^serverless\.yml: resources\.UserPool: .*{complaint}"
    ) as caught:
        await create_user_pool(replace(unit_service, user_pools={"UserPool": changed}), moto)
    assert "\n" not in str(caught.value)


def test_secrets_are_not_in_the_repr() -> None:
    """A traceback would log it."""
    assert "ann-Chats" not in repr(DEMO_USERS)
    assert "secret" not in repr(Tokens(access="secret", id="secret"))
