"""The settings of a deployed function, read once from its environment variables."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from groupcast.errors import SettingsError
from groupcast.protocol import MAX_FRAME_BYTES
from groupcast.ratelimit import GROUP_USERS_MIN, TOKEN_BYTES

if TYPE_CHECKING:
    from collections.abc import Mapping

AUTH_MODES = ("none", "cognito")
TOKEN_USES = ("any", "access", "id")
DELIVERIES = ("lanes", "stream")
# The variables with which AWS's SDKs override endpoints; localcloud and the emulators set them.
MANAGEMENT_OVERRIDE = "AWS_ENDPOINT_URL_APIGATEWAYMANAGEMENTAPI"
DYNAMODB_OVERRIDE = "AWS_ENDPOINT_URL_DYNAMODB"
SQS_OVERRIDE = "AWS_ENDPOINT_URL_SQS"
COGNITO_OVERRIDE = "AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER"
GENERAL_OVERRIDE = "AWS_ENDPOINT_URL"
MAX_POST_WINDOW = 512
MAX_PAGE_SIZE = 10_000
MAX_RETENTION_DAYS = 3_650
MAX_MESSAGES_PER_SECOND = 1_000
MAX_MESSAGE_BURST = 10_000
MAX_GROUP_MESSAGES_PER_SECOND = 10_000
MAX_GROUP_BYTES_PER_SECOND = 1024**3
# The most items that one BatchGetItem reads.
MAX_CONNECTIONS_PER_USER = 100
MAX_POSTS_PER_SECOND = 10_000_000
MAX_MEMBERS_PER_LANE = 10_000_000


@dataclass(frozen=True, slots=True)
class Settings:
    """`retention_days` 0 keeps messages for ever; endpoints are URLs without a trailing slash.

    `messages_per_second` and `message_burst` limit each user, in tokens (ratelimit.py);
    `group_messages_per_second` and `group_bytes_per_second` limit all members of a group together.
    `frame_bytes` is the largest frame that several messages may share; with 0 each gets its own.
    `posts_per_second` 0 turns the budget off; `post_burst` is the number of posts it allows after a pause.
    """

    region: str
    connections_table: str
    messages_table: str
    groups_table: str
    quotas_table: str
    marks_table: str
    management_endpoint: str
    dynamodb_endpoint: str
    sqs_endpoint: str
    cognito_endpoint: str
    delivery: str
    delivery_queue_url: str
    retry_queue_url: str
    failures_queue_url: str
    auth: str
    user_pool_id: str
    user_pool_client_id: str
    token_use: str
    messages_per_second: int
    message_burst: int
    group_messages_per_second: int
    group_bytes_per_second: int
    connections_per_user: int
    retention_days: int
    members_page_size: int
    post_window: int
    frame_bytes: int
    posts_per_second: int
    post_burst: int
    members_per_lane: int


def read_settings(environ: Mapping[str, str]) -> Settings:
    """Settings from environment variables; SettingsError names the first that is missing or invalid."""
    region = _text(environ, "AWS_REGION")
    messages_per_second = _whole(environ, "MESSAGES_PER_SECOND", 1, MAX_MESSAGES_PER_SECOND)
    return Settings(
        region=region,
        connections_table=_text(environ, "CONNECTIONS_TABLE"),
        messages_table=_text(environ, "MESSAGES_TABLE"),
        groups_table=_text(environ, "GROUPS_TABLE"),
        quotas_table=_text(environ, "QUOTAS_TABLE"),
        marks_table=_text(environ, "MARKS_TABLE"),
        management_endpoint=_url(environ, MANAGEMENT_OVERRIDE, _text(environ, "MANAGEMENT_ENDPOINT")),
        dynamodb_endpoint=_service_url(
            environ, DYNAMODB_OVERRIDE, f"https://dynamodb.{region}.amazonaws.com"
        ),
        sqs_endpoint=_service_url(environ, SQS_OVERRIDE, f"https://sqs.{region}.amazonaws.com"),
        cognito_endpoint=_service_url(
            environ, COGNITO_OVERRIDE, f"https://cognito-idp.{region}.amazonaws.com"
        ),
        delivery=_one_of(environ, "DELIVERY", DELIVERIES),
        delivery_queue_url=_text(environ, "DELIVERY_QUEUE_URL"),
        retry_queue_url=_text(environ, "RETRY_QUEUE_URL"),
        failures_queue_url=_text(environ, "FAILURES_QUEUE_URL"),
        auth=_one_of(environ, "AUTH", AUTH_MODES),
        user_pool_id=_text(environ, "USER_POOL_ID"),
        user_pool_client_id=_text(environ, "USER_POOL_CLIENT_ID"),
        token_use=_one_of(environ, "TOKEN_USE", TOKEN_USES),
        messages_per_second=messages_per_second,
        message_burst=_whole(environ, "MESSAGE_BURST", 1, MAX_MESSAGE_BURST),
        group_messages_per_second=_of_group(
            environ, "GROUP_MESSAGES_PER_SECOND", messages_per_second, MAX_GROUP_MESSAGES_PER_SECOND
        ),
        group_bytes_per_second=_of_group(
            environ,
            "GROUP_BYTES_PER_SECOND",
            messages_per_second * TOKEN_BYTES,
            MAX_GROUP_BYTES_PER_SECOND,
        ),
        connections_per_user=_whole(environ, "CONNECTIONS_PER_USER", 1, MAX_CONNECTIONS_PER_USER),
        retention_days=_whole(environ, "RETENTION_DAYS", 0, MAX_RETENTION_DAYS),
        members_page_size=_whole(environ, "MEMBERS_PAGE_SIZE", 1, MAX_PAGE_SIZE),
        post_window=_whole(environ, "POST_WINDOW", 1, MAX_POST_WINDOW),
        frame_bytes=_whole(environ, "FRAME_BYTES", 0, MAX_FRAME_BYTES),
        posts_per_second=_whole(environ, "POSTS_PER_SECOND", 0, MAX_POSTS_PER_SECOND),
        post_burst=_whole(environ, "POST_BURST", 1, MAX_POSTS_PER_SECOND),
        members_per_lane=_whole(environ, "MEMBERS_PER_LANE", 1, MAX_MEMBERS_PER_LANE),
    )


def _text(environ: Mapping[str, str], name: str) -> str:
    value = environ.get(name, "")
    if not value:
        raise SettingsError(f"environment variable {name} is missing")
    return value


def _service_url(environ: Mapping[str, str], name: str, default: str) -> str:
    return _url(environ, name, environ.get(GENERAL_OVERRIDE) or default)


def _url(environ: Mapping[str, str], name: str, default: str) -> str:
    value = environ.get(name) or default
    if not value.startswith(("http://", "https://")):
        raise SettingsError(f"{name} must be an http or https URL")
    return value.rstrip("/")


def _one_of(environ: Mapping[str, str], name: str, allowed: tuple[str, ...]) -> str:
    value = _text(environ, name)
    if value not in allowed:
        raise SettingsError(f"{name} is {value!r}; it can be {', '.join(allowed)}")
    return value


def _whole(environ: Mapping[str, str], name: str, low: int, high: int) -> int:
    value = _text(environ, name)
    if not value.isdecimal() or not low <= int(value) <= high:
        raise SettingsError(f"{name} is {value!r}; it can be a whole number from {low} to {high}")
    return int(value)


def _of_group(environ: Mapping[str, str], name: str, of_one_user: int, high: int) -> int:
    """A limit on a group: high enough that no member can use it up alone."""
    value = _whole(environ, name, 1, high)
    if value < GROUP_USERS_MIN * of_one_user:
        raise SettingsError(
            f"{name} is {value}; with this MESSAGES_PER_SECOND it can be {GROUP_USERS_MIN * of_one_user} "
            "or more: lower both"
        )
    return value
