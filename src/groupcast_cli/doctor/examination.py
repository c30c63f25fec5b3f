"""Runs the checks: independent ones together, each within its time, so that one cannot hold up the others."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from botocore.parsers import ResponseParserError

from groupcast_cli.doctor.chat import CONNECTIONS, Trial, hold_chat, judge_chat, judge_failed_chat
from groupcast_cli.doctor.checks import CHECKS, DRIFT, FIRST
from groupcast_cli.doctor.finding import CannotCheckError, Status, skipped, to_do
from groupcast_cli.signin import sign_in_to_stage
from groupcast_cli.stage import StageError, one_line, outputs, stage_of
from groupcast_client import GroupcastError
from groupcast_client.model import Endpoint
from localcloud.errors import SignInError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable

    from groupcast_cli.doctor.checks import Check
    from groupcast_cli.doctor.expected import Expected
    from groupcast_cli.doctor.finding import Finding
    from groupcast_cli.doctor.subject import Subject
    from groupcast_cli.stage import Stage

CHAT = "chat"
SIGN_IN_TIMEOUT_S = 10.0
CHAT_TIMEOUT_S = 30.0
GUEST = "doctor"


@dataclass(frozen=True, slots=True)
class Login:
    """Who chats: a token, or a user with a password; neither on a stage where nobody signs in."""

    user: str | None = None
    password: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)


def check_names(login: Login | None) -> list[str]:
    """The names of all checks, in the order of the report; without a login nobody chats."""
    chat = [CHAT] if login else []
    return [*(check.name for check in (*FIRST, *CHECKS)), *chat, DRIFT.name]


async def examine(subject: Subject, login: Login | None) -> AsyncIterator[tuple[str, Finding]]:
    """Give each check's name and finding, in the order of `check_names`."""
    first = await asyncio.gather(*(_made(check, subject) for check in FIRST))
    missing: str | None = None
    for check, finding in zip(FIRST, first, strict=True):
        if missing and finding.blocks:
            # For the same reason.
            yield check.name, skipped(f"needs the {missing} first")
            continue
        yield check.name, finding
        missing = check.name if finding.blocks else missing
    if missing:
        for name in check_names(login)[len(FIRST) :]:
            yield name, skipped(f"needs the {missing} first")
        return
    drift = asyncio.create_task(_made(DRIFT, subject))
    checks = [asyncio.create_task(_made(check, subject)) for check in CHECKS]
    try:
        for check, task in zip(CHECKS, checks, strict=True):
            yield check.name, await task
        if login is not None:
            # After the others, which would disturb its measurements.
            yield CHAT, await _within(SIGN_IN_TIMEOUT_S + CHAT_TIMEOUT_S, _chat(subject, login))
        yield DRIFT.name, await drift
    finally:
        tasks = [drift, *checks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _made(check: Check, subject: Subject) -> Finding:
    finding = await _within(check.timeout_s, check.examine(subject))
    if check.is_required and finding.status is Status.SKIPPED:
        return to_do(finding.text, blocks=True)
    return finding


async def _within(timeout_s: float, finding: Awaitable[Finding]) -> Finding:
    try:
        async with asyncio.timeout(timeout_s):
            return await finding
    except TimeoutError:
        return skipped(f"not done within {timeout_s:g} s")
    except CannotCheckError as error:
        return skipped(str(error))
    except (LookupError, TypeError, ValueError, ResponseParserError) as error:
        # An emulator, or a later AWS, answers in another shape: the other checks still count.
        return skipped(one_line(f"the answer cannot be read: {type(error).__name__}: {error}"))


async def _chat(subject: Subject, login: Login) -> Finding:
    expected = await subject.expected()
    try:
        stack = await subject.stack()
        stage = stage_of(subject.stage, subject.place, stack)
        endpoint, who = await _endpoint(stage, login, expected)
    except (StageError, SignInError) as error:
        return to_do(str(error))
    own_url = outputs(stack).get("OwnDomainUrl")
    endpoints = [endpoint] * (CONNECTIONS - 1) + [replace(endpoint, url=own_url or endpoint.url)]
    trial = Trial()
    try:
        async with asyncio.timeout(CHAT_TIMEOUT_S):
            await hold_chat(endpoints, trial)
            return judge_chat(trial, who, own_url)
    except TimeoutError:
        return to_do(f"chatting took over {CHAT_TIMEOUT_S:g} s: look at the dashboard and the logs")
    except GroupcastError as error:
        failed = endpoints[min(len(trial.connect_ms), CONNECTIONS - 1)]
        return judge_failed_chat(error, failed.shown_url, who)


async def _endpoint(stage: Stage, login: Login, expected: Expected) -> tuple[Endpoint, str]:
    """The address to chat at, and a description of the user."""
    if not expected.auth_required:
        return Endpoint(stage.gateway_url, name=GUEST), f"guest {GUEST}"
    if login.token is not None:
        return Endpoint(stage.gateway_url, token=login.token), "the token's user"
    if login.user is None or login.password is None:
        raise SignInError(
            "users sign in here: give --user NAME, or --token JWT (or GROUPCAST_TOKEN); "
            f"`.venv/bin/groupcast user NAME {stage.options}` makes a user; or "
            "say --no-chat"
        )
    takes_ids = expected.token_use == "id"  # noqa: S105 - a kind of token
    tokens = await asyncio.to_thread(sign_in_to_stage, stage, login.user, login.password)
    return Endpoint(stage.gateway_url, token=tokens.id if takes_ids else tokens.access), login.user
