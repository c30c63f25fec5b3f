"""Judgements of an account: credentials, clock, quotas, and the role for logs. Pure."""

from __future__ import annotations

from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from groupcast_cli.doctor.finding import Finding, judged, ok, to_do

if TYPE_CHECKING:
    from collections.abc import Mapping

    from groupcast_cli.doctor.expected import Expected

# Half the time that the Python client leaves for renewing a token.
CLOCK_SKEW_MAX_S = 30
# Lambda never lets a function reserve the last 100 ("Configuring reserved concurrency"): routes need them.
ROUTES_CONCURRENCY = 100
# Of the account's rate: the defaults of postsPerSecond and requestsPerSecond against the default quota.
POSTS_SHARE = 0.7
REQUESTS_SHARE = 0.2
# "New connections per second per account": the default, which docs/operations.md assumes.
CONNECTS_PER_SECOND = 500
NO_LOG_ROLE = "API Gateway has no role for logs in this account and region"
GIVE_LOG_ROLE = (
    "give it one with `aws apigateway update-account --patch-operations "
    "op=replace,path=/cloudwatchRoleArn,value=arn:aws:iam::ACCOUNT:role/{}`"
)
QUOTA = "ask for a higher quota (Service Quotas, {service}, {code})"


def judge_identity(identity: Mapping[str, Any], region: str) -> Finding:
    """Name the account and the role of an answer of STS GetCallerIdentity."""
    return ok(f"{identity['Arn']}, region {region}", account=identity["Account"])


def judge_clock(date: str, sent_s: float, received_s: float) -> Finding:
    """Compare an answer's `Date` header with the local times of request and answer (Unix, seconds).

    The header has whole seconds, and the way of the request takes time: only a difference that neither
    explains counts.
    """
    second_s = parsedate_to_datetime(date).timestamp()
    ahead_s, behind_s = sent_s - (second_s + 1), second_s - received_s
    skew_s = max(ahead_s, behind_s, 0.0)
    if skew_s > CLOCK_SKEW_MAX_S:
        way = "ahead of" if ahead_s > behind_s else "behind"
        return to_do(
            f"this machine's clock is {skew_s:.0f} s {way} AWS, which refuses signatures that are 5 minutes "
            "off: set it, with `timedatectl set-ntp true` for one",
            skew_s=round(skew_s, 1),
        )
    return ok(f"within {max(skew_s, 1):.0f} s of AWS", skew_s=round(skew_s, 1))


def judge_concurrency(limit: Mapping[str, Any], expected: Expected) -> Finding:
    """Compare `AccountLimit` of Lambda GetAccountSettings with the executions that the stage may need."""
    total = limit["ConcurrentExecutions"]
    fanout = expected.delivery_concurrency + expected.stream_concurrency
    needed = fanout + expected.retry_concurrency + ROUTES_CONCURRENCY
    faults = []
    if total < needed:
        faults.append(
            f"Lambda runs {total:,} functions at once in this account, and the stage may need {needed:,}: "
            f"{_more('AWS Lambda', 'L-B99A9384')}, or lower deliveryConcurrency"
        )
    reserved = expected.fanout_concurrency
    if reserved is not None and reserved < fanout:
        faults.append(
            f"fanoutConcurrency reserves {reserved:,} for fanoutMessage, which may need {fanout:,}: "
            f"deploy with --param fanoutConcurrency={fanout}, or lower deliveryConcurrency"
        )
    free = limit["UnreservedConcurrentExecutions"]
    rest = needed - (0 if reserved is None else fanout)
    if not faults and free < rest:
        faults.append(
            f"functions have reserved all but {free:,} of {total:,} executions, and the stage may need "
            f"{rest:,} of them: {_more('AWS Lambda', 'L-B99A9384')}, or reserve less"
        )
    return judged(f"Lambda runs {total:,} functions at once, {free:,} unreserved; {needed:,} suffice", faults)


def judge_requests(rate: float, burst: float, expected: Expected) -> Finding:
    """Compare API Gateway's requests a second, and at once, with posts and frames that the stage admits.

    The stage's limits of frames are each route's own: several busy routes together can exceed the rate.
    """
    posts, frames = expected.posts_per_second, expected.requests_per_second
    fitting = {
        "postsPerSecond": rate * POSTS_SHARE,
        "postBurst": burst * POSTS_SHARE,
        "requestsPerSecond": rate * REQUESTS_SHARE,
        "requestBurst": burst * REQUESTS_SHARE,
    }
    mended = f"deploy with {' '.join(f'--param {name}={value:.0f}' for name, value in fitting.items())}"
    faults = []
    if not posts:
        faults.append(
            f"postsPerSecond is 0, so a large fan-out may take all {rate:,.0f} requests a second and have "
            f"frames turned away: {mended}"
        )
    elif posts + frames > rate:
        faults.append(
            f"API Gateway takes {rate:,.0f} requests a second, less than postsPerSecond + requestsPerSecond "
            f"of one route ({posts:,.0f} + {frames:,.0f}): {mended}, or "
            f"{_more('Amazon API Gateway', 'L-8A5B8E43')}"
        )
    elif expected.post_burst + expected.request_burst > burst:
        faults.append(
            f"API Gateway takes {burst:,.0f} requests at once, less than postBurst + requestBurst "
            f"({expected.post_burst:,.0f} + {expected.request_burst:,.0f}): {mended}"
        )
    return judged(
        f"API Gateway takes {rate:,.0f} requests a second, {burst:,.0f} at once; postsPerSecond is "
        f"{posts:,.0f}, requestsPerSecond {frames:,.0f} for each route",
        faults,
    )


def judge_connects(rate: float) -> Finding:
    """Judge API Gateway's quota of new WebSocket connections a second."""
    if rate < CONNECTS_PER_SECOND:
        return to_do(
            f"API Gateway takes {rate:,.0f} new connections a second, less than the usual "
            f"{CONNECTS_PER_SECOND}: {_more('Amazon API Gateway', 'L-9ED1E49A')}"
        )
    return ok(f"API Gateway takes {rate:,.0f} new connections a second")


def judge_log_role(role_arn: str | None, own_role: str | None, *, exists: bool) -> Finding:
    """Judge `cloudwatchRoleArn` of API Gateway GetAccount, and whether that role exists.

    `own_role` is the name of the role that the stage set (logRole=own), None where it sets none. The ARN of
    a role that was removed stays: CloudFormation does not reset it.
    """
    if not role_arn or not exists:
        fault = f"API Gateway's role for logs, {role_arn}, is gone" if role_arn else NO_LOG_ROLE
        cause = (
            "with logRole=shared the stage sets none"
            if own_role is None
            else "another stack may have taken it along when it was removed"
        )
        return to_do(f"{fault}, so access logs stop ({cause}): {GIVE_LOG_ROLE.format(own_role or 'ROLE')}")
    if own_role is not None and role_name(role_arn) != own_role:
        return to_do(
            f"API Gateway writes logs with {role_arn} instead of the stage's own role {own_role}, and access "
            f"logs stop when its stack is removed: {GIVE_LOG_ROLE.format(own_role)}, or deploy with --param "
            "logRole=shared"
        )
    return ok(role_arn)


def role_name(role_arn: str) -> str:
    """The name at the end of a role's ARN, after its path."""
    return role_arn.rpartition("/")[2]


def _more(service: str, code: str) -> str:
    return QUOTA.format(service=service, code=code)
