"""Evaluates a Lambda authorizer's answer. Pure.

Shape: API Gateway developer guide, "Output from an API Gateway Lambda authorizer".
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, TypeAlias

import msgspec
import orjson
from msgspec import Meta

from localcloud.gateway.answers import MalformedError
from localcloud.service.checks import checked

_ACTION = "execute-api:Invoke"
# API Gateway's quota for a WebSocket API; a larger answer is an error there, too.
MAX_ANSWER_BYTES = 8 * 1024

Patterns: TypeAlias = str | Annotated[list[str], Meta(min_length=1)]


class _Statement(msgspec.Struct, rename="pascal", forbid_unknown_fields=True):
    """Other fields are refused: an Allow with an unchecked Condition would allow too much."""

    effect: Literal["Allow", "Deny"]
    action: Patterns
    resource: Patterns
    sid: Any = None


class _Policy(msgspec.Struct, rename="pascal"):
    statement: _Statement | list[_Statement]


class _Output(msgspec.Struct, rename="camel"):
    principal_id: str
    policy_document: _Policy
    context: dict[str, str | int | float | bool] = {}


def evaluate_policy(answer: Any, method_arn: str) -> dict[str, str] | None:
    """Return `requestContext.authorizer` if the answer's policy allows `method_arn`, else None.

    Values of the authorizer's context become strings, as in API Gateway. Raises MalformedError for an answer
    that API Gateway would refuse.
    """
    output = checked(answer, _Output, "the authorizer's answer", is_strict=True, raises=MalformedError)
    if len(orjson.dumps(answer)) > MAX_ANSWER_BYTES:
        raise MalformedError(f"the authorizer's answer has more than {MAX_ANSWER_BYTES:,} bytes")
    given = output.policy_document.statement
    statements = given if isinstance(given, list) else [given]
    if {statement.effect for statement in statements if _fits(statement, method_arn)} != {"Allow"}:
        return None
    context = {name: _text(value) for name, value in output.context.items()}
    return {**context, "principalId": output.principal_id}


def _fits(statement: _Statement, method_arn: str) -> bool:
    # IAM compares actions without case and resources with it.
    return any(_matches(one.lower(), _ACTION.lower()) for one in _listed(statement.action)) and any(
        _matches(one, method_arn) for one in _listed(statement.resource)
    )


def _listed(patterns: Patterns) -> list[str]:
    return patterns if isinstance(patterns, list) else [patterns]


def _matches(pattern: str, text: str) -> bool:
    expression = "".join({"*": ".*", "?": "."}.get(char) or re.escape(char) for char in pattern)
    return re.fullmatch(expression, text, re.DOTALL) is not None


def _text(value: str | float) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
