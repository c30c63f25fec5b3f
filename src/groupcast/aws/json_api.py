"""AWS services that speak JSON over POST: DynamoDB and SQS, without the cost of an SDK.

Sources: https://smithy.io/2.0/aws/protocols/aws-json-1_0-protocol.html and the error pages of DynamoDB:
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.Errors.html
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from groupcast.aws.backoff import back_off
from groupcast.aws.errors import HttpError, ServiceError
from groupcast.aws.origin import Origin
from groupcast.aws.pool import Pool, Timeouts
from groupcast.aws.sigv4 import Scope, sign
from groupcast.errors import GroupcastError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from groupcast.aws.credentials import CredentialsProvider
    from groupcast.aws.http1 import Response

ATTEMPTS_MAX = 5
RETRY_BASE_S = 0.05
RETRY_CAP_S = 1.0
# A page of DynamoDB holds 1 MB of items, which its JSON can make several times larger.
MAX_BODY_BYTES = 8 * 1024 * 1024
TIMEOUTS = Timeouts(connect_s=2.0, response_s=5.0, total_s=8.0)

CONDITION_FAILED = "ConditionalCheckFailedException"

_OK = 200
_FIRST_SERVER_ERROR = 500
_TOO_MANY_REQUESTS = 429
_PASSING = frozenset(
    {
        "LimitExceededException",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "ThrottlingException",
        "TransactionInProgressException",
    }
)


@dataclass(frozen=True, slots=True)
class Service:
    """How a service is called: its signing name, and the prefix of the operation in X-Amz-Target."""

    name: str
    target: str


DYNAMODB = Service("dynamodb", "DynamoDB_20120810")
SQS = Service("sqs", "AmazonSQS")


class AwsJsonClient:
    """One service at one endpoint, over kept-alive connections; on one running event loop.

    `on_failure` gets the operation and the error of each call that fails for good: callers may well have a
    way around it, and then only this log says why.
    """

    def __init__(
        self,
        service: Service,
        endpoint_url: str,
        region: str,
        credentials: CredentialsProvider,
        *,
        max_connections: int,
        on_failure: Callable[[str, GroupcastError], None] = lambda _operation, _error: None,
    ) -> None:
        origin = Origin.of(endpoint_url)
        self._on_failure = on_failure
        self._service = service
        self._region = region
        self._credentials = credentials
        self._host = origin.host_header
        self._pool = Pool(
            origin, max_connections=max_connections, timeouts=TIMEOUTS, max_body_bytes=MAX_BODY_BYTES
        )

    async def call(self, operation: str, payload: Mapping[str, Any]) -> dict[str, Any]:
        """Carry out an operation and return its output.

        Passing failures are repeated up to ATTEMPTS_MAX times with jitter, so each may happen twice.
        Raises ServiceError for the service's own error, HttpError without an answer, NoCredentialsError.
        """
        try:
            return await self._tried(operation, orjson.dumps(payload))
        except GroupcastError as error:
            # A condition that does not hold is an answer.
            if not (isinstance(error, ServiceError) and error.code == CONDITION_FAILED):
                self._on_failure(operation, error)
            raise

    async def close(self) -> None:
        """Close all connections."""
        await self._pool.close()

    async def _tried(self, operation: str, body: bytes) -> dict[str, Any]:
        for attempt in range(1, ATTEMPTS_MAX):
            try:
                return await self._once(operation, body)
            except HttpError:
                pass
            except ServiceError as error:
                if not error.passing:
                    raise
            await back_off(attempt, RETRY_BASE_S, RETRY_CAP_S)
        return await self._once(operation, body)

    async def _once(self, operation: str, body: bytes) -> dict[str, Any]:
        await self._credentials.ready()
        credentials = self._credentials.current()
        scope = Scope(credentials, region=self._region, service=self._service.name, unix_s=int(time.time()))
        headers = {
            "Content-Type": "application/x-amz-json-1.0",
            "X-Amz-Target": f"{self._service.target}.{operation}",
        }
        response = await self._pool.request(sign(scope, "POST", self._host, "/", headers, body))
        if response.status == _OK:
            output: dict[str, Any] = orjson.loads(response.body)
            return output
        raise _error(operation, response)


def _error(operation: str, response: Response) -> ServiceError:
    try:
        document = orjson.loads(response.body)
    except orjson.JSONDecodeError:
        document = None
    if not isinstance(document, dict):
        document = {}
    # A namespace stands before the name, behind a hash.
    code = str(document.get("__type", "")).rpartition("#")[2]
    message = str(document.get("message") or document.get("Message") or "")
    passing = response.status == _TOO_MANY_REQUESTS or response.status >= _FIRST_SERVER_ERROR
    return ServiceError(operation, response.status, code, message, passing=passing or code in _PASSING)
