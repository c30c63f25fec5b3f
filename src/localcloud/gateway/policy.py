"""Evaluates a Lambda authorizer's answer. Pure.

Shape: API Gateway developer guide, "Output from an API Gateway Lambda authorizer".
"""

from __future__ import annotations

import re
from typing import Any

import orjson

from localcloud.gateway.answers import MalformedError

_ACTION = "execute-api:Invoke"
# API Gateway's quota for a WebSocket API; a larger answer is an error there, too.
MAX_ANSWER_BYTES = 8 * 1024
_STATEMENT_KEYS = frozenset({"Sid", "Effect", "Action", "Resource"})


def evaluate_policy(answer: Any, method_arn: str) -> dict[str, str] | None:
    """Return `requestContext.authorizer` if the answer's policy allows `method_arn`, else None.

    Values of the authorizer's context become strings, as in API Gateway. Raises MalformedError for an answer
    that API Gateway would refuse.
    """
    if not isinstance(answer, dict) or not isinstance(answer.get("principalId"), str):
        raise MalformedError("the authorizer's answer has no principalId")
    if len(orjson.dumps(answer)) > MAX_ANSWER_BYTES:
        raise MalformedError(f"the authorizer's answer has more than {MAX_ANSWER_BYTES:,} bytes")
    policy = answer.get("policyDocument")
    if not isinstance(policy, dict):
        raise MalformedError("the authorizer's answer has no policyDocument")
    context = _context(answer.get("context"))
    statements = _statements(policy.get("Statement"))
    effects = {statement["Effect"] for statement in statements if _fits(statement, method_arn)}
    if effects != {"Allow"}:
        return None
    return {**context, "principalId": answer["principalId"]}


def _statements(statements: Any) -> list[dict[str, Any]]:
    listed = statements if isinstance(statements, list) else [statements]
    for statement in listed:
        if not isinstance(statement, dict) or statement.get("Effect") not in ("Allow", "Deny"):
            raise MalformedError("a policy statement must have the Effect Allow or Deny")
        if unknown := statement.keys() - _STATEMENT_KEYS:
            # Refuse these instead of ignoring them: an Allow with an unchecked Condition allows too much.
            raise MalformedError(f"policy statements with {', '.join(sorted(unknown))} are not supported")
    return listed


def _fits(statement: dict[str, Any], method_arn: str) -> bool:
    # IAM compares actions case-insensitively and resources case-sensitively.
    return any(
        _matches(pattern.lower(), _ACTION.lower()) for pattern in _texts(statement.get("Action"))
    ) and any(_matches(pattern, method_arn) for pattern in _texts(statement.get("Resource")))


def _texts(value: Any) -> list[str]:
    texts = value if isinstance(value, list) else [value]
    if not texts or not all(isinstance(text, str) for text in texts):
        raise MalformedError("a policy statement's Action and Resource must be strings or lists of strings")
    return texts


def _matches(pattern: str, text: str) -> bool:
    expression = "".join({"*": ".*", "?": "."}.get(char) or re.escape(char) for char in pattern)
    return re.fullmatch(expression, text, re.DOTALL) is not None


def _context(context: Any) -> dict[str, str]:
    if context is None:
        return {}
    if not isinstance(context, dict):
        raise MalformedError("the authorizer's context is not an object")
    return {str(name): _context_value(name, value) for name, value in context.items()}


def _context_value(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (str, int, float)):
        return str(value)
    raise MalformedError(f"the authorizer's context value {name!r} must be a string, number or boolean")
