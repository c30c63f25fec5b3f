"""authorize: its answers to API Gateway, and the sign-ins that are refused and counted."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from groupcast.errors import KeysUnavailableError, SettingsError
from groupcast.tokens import CLOCK_SKEW_S
from tests.unit.groupcast.cloud import Cloud, Fault, token
from tests.unit.groupcast.functions import Functions, Metric, Output

METHOD = "arn:aws:execute-api:us-east-1:123456789012:api/functions/$connect"


def event(*tokens: str, query: dict[str, str] | None = None, header: str | None = None) -> dict[str, Any]:
    return {
        "methodArn": METHOD,
        "requestContext": {"connectionId": "abcdefghij="},
        "queryStringParameters": query,
        "multiValueQueryStringParameters": {"token": list(tokens)} if tokens else None,
        "multiValueHeaders": {"Sec-WebSocket-Protocol": [header]} if header else None,
    }


def policy(effect: str, principal: str, **context: str) -> dict[str, Any]:
    statement = {"Action": "execute-api:Invoke", "Effect": effect, "Resource": METHOD}
    return {
        "principalId": principal,
        "policyDocument": {"Version": "2012-10-17", "Statement": [statement]},
        "context": context,
    }


def counted(output: Output, *names: str) -> list[Metric]:
    return [Metric(name, "Count", [1.0], {"service": output.service}) for name in names]


@pytest.mark.parametrize(
    ("query", "sender"),
    [(None, "guest-abcdef"), ({}, "guest-abcdef"), ({"name": " Ann "}, "Ann"), ({"name": "Ann"}, "Ann")],
)
def test_guests_are_called_what_they_ask_for(
    guests: Functions, output: Output, query: dict[str, str] | None, sender: str
) -> None:
    """Access logs, where nothing escapes a quote, call them all guest. Tokens are ignored."""
    answer = guests.invoke("authorize", event("a.b.c", query=query), output.service)
    assert answer == policy("Allow", "guest", sender=sender)
    assert output.read().metrics == []


@pytest.mark.parametrize(
    "offer", [event, lambda one: event(header=f"groupcast.v1, bearer.{one}")], ids=["query", "header"]
)
def test_a_user_signs_in(members: Functions, output: Output, offer: Callable[[str], dict[str, Any]]) -> None:
    """The policy names the user and when the sign-in ends."""
    until_s = int(time.time()) + 600
    made = token("ann", exp=until_s, **{"cognito:groups": ["private-team"]})
    answer = members.invoke("authorize", offer(made), output.service)
    context = {
        "sender": "ann",
        "groups": '["private-team"]',
        "authorizedUntil": str(until_s + CLOCK_SKEW_S),
    }
    assert answer == policy("Allow", "id-of-ann", **context)
    said = output.read()
    assert (said.logs, said.metrics) == ({}, [])


@pytest.mark.parametrize(
    ("refused", "reason"),
    [
        (event(), "no token"),
        (event(""), "no token"),
        (event("a", "b"), "several tokens"),
        (event("a.b.c"), "DecodeError"),
        (event(token("ann", exp=1)), "ExpiredSignatureError"),
        (event(token("ann", iss="https://other.example")), "InvalidIssuerError"),
        (event(token("ann")[:-8] + "AAAAAAAA"), "InvalidSignatureError"),
        ({"methodArn": METHOD, "requestContext": {}}, "no token"),
    ],
)
def test_tokens_that_do_not_count(
    members: Functions, output: Output, refused: dict[str, Any], reason: str
) -> None:
    """401, by the one exception that API Gateway takes for it. The alarms need both metrics."""
    with pytest.raises(Exception, match=r"^Unauthorized$") as raised:
        members.invoke("authorize", refused, output.service)
    assert type(raised.value) is Exception
    # Lambda would log a cause, with what is in it.
    assert raised.value.__cause__ is None
    assert raised.value.__suppress_context__
    said = output.read()
    assert said.metrics == counted(output, "sign_ins_refused", "sign_ins_unauthorized")
    line = said.logs["sign-in refused"]
    assert (line["level"], line["reason"]) == ("INFO", reason)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"client_id": "other"}, "another client"),
        ({"token_use": "refresh"}, "token_use"),
        ({"username": "аnn"}, "mixed-scripts"),  # noqa: RUF001 - the look-alike is the point
    ],
)
def test_tokens_of_the_pool_that_do_not_let_in(
    members: Functions, output: Output, changes: dict[str, str], reason: str
) -> None:
    """403 by a policy, which is no error of the function; the token stays out of the log."""
    made = token("ann", **changes)
    assert members.invoke("authorize", event(made), output.service) == policy("Deny", "unknown")
    said = output.read()
    assert said.metrics == counted(output, "sign_ins_refused")
    assert reason in said.logs["sign-in refused"]["reason"]
    assert made not in json.dumps(said.logs)


def test_keys_are_fetched_once_and_while_the_function_loads(cloud: Cloud, output: Output) -> None:
    """No token waits for them."""
    functions = Functions(cloud, "authorize")
    assert cloud.calls["keys"] == 1
    for _ in range(2):
        functions.invoke("authorize", event(token("ann")), output.service)
    assert cloud.calls["keys"] == 1


def test_keys_that_cannot_be_had(cloud: Cloud, output: Output) -> None:
    """The function fails and refuses no token. It asks for the keys again after a pause."""
    cloud.faults["keys"] = Fault(500, "InternalError")
    functions = Functions(cloud, "authorize")
    with pytest.raises(KeysUnavailableError):
        functions.invoke("authorize", event(token("ann")), output.service)
    said = output.read()
    assert (said.logs, said.metrics) == ({}, [])
    cloud.reset()
    with pytest.raises(KeysUnavailableError):
        functions.invoke("authorize", event(token("ann")), output.service)
    assert cloud.calls["keys"] == 0


def test_wrong_settings_let_nobody_in(cloud: Cloud, output: Output) -> None:
    """The function loads, and says with each invocation which setting is missing."""
    functions = Functions(None)
    for name in sorted(functions.names - {"default"}):
        for _ in range(2):
            with pytest.raises(SettingsError, match="AWS_REGION is missing"):
                functions.invoke(name, {"requestContext": {}, "Records": []}, output.service)
    functions.close()
