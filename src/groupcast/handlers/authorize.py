"""The authorizer of $connect: identifies the user before the connection exists."""

from __future__ import annotations

import contextlib
import functools
import os
import time
from typing import TYPE_CHECKING, Any

import orjson
from aws_lambda_powertools.logging import Logger
from aws_lambda_powertools.metrics import MetricUnit, single_metric

from groupcast.auth import GUEST, guest_name, offered_token
from groupcast.errors import MisplacedTokenError, RefusedNameError, SettingsError, TokenError
from groupcast.loading import collector_paused
from groupcast.settings import read_settings

if TYPE_CHECKING:
    from groupcast.settings import Settings
    from groupcast.tokens import Verifier


def handler(event: dict[str, Any], _context: Any) -> dict[str, Any]:
    """Allow the connection and return its user (AWS: output of a Lambda authorizer).

    An invalid token gets 401, through the one exception that API Gateway turns into it. A valid token for
    another client or use, or with a name that may look like another's, gets 403 through a policy. In stages
    without sign-in `?name=` sets the sender.
    SettingsError if a setting is invalid: a misconfigured stage lets nobody in.
    """
    settings = read_settings(os.environ)
    if settings.auth == "none":
        query = event.get("queryStringParameters") or {}
        name = guest_name(query.get("name"), event["requestContext"]["connectionId"])
        # The principal is not the requested name: it goes into access logs, which do not escape quotes.
        return _policy("Allow", GUEST, event, {"sender": name})
    try:
        token = offered_token(
            event.get("multiValueHeaders") or {}, event.get("multiValueQueryStringParameters") or {}
        )
        principal = _verifier(settings).verify(token)
    except (MisplacedTokenError, RefusedNameError) as refusal:
        _note(refusal)
        return _policy("Deny", "unknown", event, {})
    except TokenError as refusal:
        _note(refusal)
        # Lambda counts the exception as an Error; the alarm SignInsFail subtracts this metric.
        _count("sign_ins_unauthorized")
        raise Exception("Unauthorized") from None  # noqa: TRY002 - API Gateway recognizes this text
    context = {
        "sender": principal.name,
        "groups": orjson.dumps(principal.groups).decode(),
        "authorizedUntil": str(principal.authorized_until_s),
    }
    return _policy("Allow", principal.user_id, event, context)


@functools.lru_cache(maxsize=1)
def _verifier(settings: Settings) -> Verifier:
    # Cached with its keys for the life of the environment. Stages without sign-in never load PyJWT.
    from groupcast.tokens import Verifier  # noqa: PLC0415

    return Verifier.of(settings, time.monotonic)


def _prepare() -> None:
    """Create the verifier and fetch the pool's keys while the module loads, with a full vCPU."""
    settings = read_settings(os.environ)
    if settings.auth != "none":
        _verifier(settings).prefetch()


def _note(refusal: TokenError) -> None:
    Logger().info("sign-in refused", extra={"reason": str(refusal)})
    _count("sign_ins_refused")


def _count(metric: str) -> None:
    with single_metric(name=metric, unit=MetricUnit.Count, value=1):
        pass


def _policy(effect: str, user_id: str, event: dict[str, Any], context: dict[str, str]) -> dict[str, Any]:
    statement = {"Action": "execute-api:Invoke", "Effect": effect, "Resource": event["methodArn"]}
    return {
        "principalId": user_id,
        "policyDocument": {"Version": "2012-10-17", "Statement": [statement]},
        "context": context,
    }


# Each invocation raises SettingsError itself, so that the log has its request id.
with contextlib.suppress(SettingsError), collector_paused():
    _prepare()
