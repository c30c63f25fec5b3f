"""Authorizer answers, as pure values."""

from __future__ import annotations

from typing import Any

import pytest

from localcloud.gateway.answers import MalformedError
from localcloud.gateway.policy import evaluate_policy

ARN = "arn:aws:execute-api:eu-central-1:123456789012:localcloud/dev/$connect"


def statement(
    effect: str = "Allow", resource: Any = ARN, action: Any = "execute-api:Invoke"
) -> dict[str, Any]:
    return {"Effect": effect, "Action": action, "Resource": resource}


def answer(*statements: Any, **extra: Any) -> dict[str, Any]:
    policy = {"Version": "2012-10-17", "Statement": list(statements)}
    return {"principalId": "ann", "policyDocument": policy, **extra}


@pytest.mark.parametrize(
    "allowing",
    [
        statement(),
        statement(resource="*"),
        statement(resource="arn:aws:execute-api:*:*:localcloud/dev/*"),
        statement(resource="arn:aws:execute-api:eu-central-?:123456789012:localcloud/dev/$connect"),
        statement(resource=["arn:aws:s3:::x", ARN]),
        statement(action="EXECUTE-API:invoke"),
        statement(action="*"),
        statement(action=["s3:*", "execute-api:*"]),
        {"Sid": "1", **statement()},
    ],
)
def test_a_matching_allow_admits(allowing: dict[str, Any]) -> None:
    """Exact or by wildcard, one value or a list."""
    assert evaluate_policy(answer(allowing), ARN) == {"principalId": "ann"}


@pytest.mark.parametrize(
    "statements",
    [
        [],
        [statement("Deny")],
        [statement(), statement("Deny", resource="*")],
        [statement(resource=ARN + "x")],
        [statement(resource=ARN.replace("$connect", "$default"))],
        [statement(resource="arn:aws:execute-api:eu-central-1:123456789012:localcloud/dev/[$]connect")],
        [statement(resource=ARN.upper())],
        [statement(action="s3:GetObject")],
    ],
)
def test_anything_else_denies(statements: list[dict[str, Any]]) -> None:
    """A Deny overrides any Allow, and without a matching Allow access is denied."""
    assert evaluate_policy(answer(*statements), ARN) is None


def test_a_single_statement_needs_no_list() -> None:
    """As in IAM."""
    lone = {"principalId": "ann", "policyDocument": {"Statement": statement()}}
    assert evaluate_policy(lone, ARN) == {"principalId": "ann"}


def test_context_values_become_strings() -> None:
    """And the context cannot replace the principal."""
    context = {"name": "Ann", "age": 7, "score": 0.5, "admin": True, "principalId": "eve"}
    assert evaluate_policy(answer(statement(), context=context), ARN) == {
        "name": "Ann",
        "age": "7",
        "score": "0.5",
        "admin": "true",
        "principalId": "ann",
    }


@pytest.mark.parametrize(
    "malformed",
    [
        None,
        "Allow",
        {},
        {"principalId": "ann"},
        {"principalId": 7, "policyDocument": {"Statement": [statement()]}},
        {"principalId": "ann", "policyDocument": {}},
        answer("Allow"),
        answer(statement("Permit")),
        answer({**statement(), "Effect": ["Allow"]}),
        answer(statement(resource=[])),
        answer(statement(resource=7)),
        answer({"Effect": "Allow", "Action": "*"}),
        answer({**statement(), "Condition": {"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}}),
        answer({"Effect": "Allow", "NotAction": "s3:*", "Resource": "*"}),
        answer(statement(), context="x"),
        answer(statement(), context={"groups": ["a"]}),
        answer(statement(), context={"nothing": None}),
    ],
)
def test_an_invalid_policy_is_an_error(malformed: Any) -> None:
    """So is one with unsupported elements."""
    with pytest.raises(MalformedError):
        evaluate_policy(malformed, ARN)


def test_an_answers_size_is_limited() -> None:
    """As in API Gateway: many long group names exceed it."""
    fitting = answer(statement(), context={"groups": "x" * 7_000})
    assert evaluate_policy(fitting, ARN) is not None
    with pytest.raises(MalformedError, match="8,192"):
        evaluate_policy(answer(statement(), context={"groups": "x" * 8_192}), ARN)
