"""API Gateway's `@connections`: posts to WebSocket clients.

Source: https://docs.aws.amazon.com/apigateway/latest/developerguide/
apigateway-how-to-call-websocket-api-connections.html
"""

from __future__ import annotations

import asyncio
import re
import time
from contextlib import suppress
from enum import Enum
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias
from urllib.parse import urlsplit

import orjson

from groupcast.aws.errors import HttpError, NoCredentialsError
from groupcast.aws.origin import Origin
from groupcast.aws.pool import Pool
from groupcast.aws.sigv4 import ConnectionSigner, Scope
from groupcast.errors import GroupcastError

if TYPE_CHECKING:
    from collections.abc import Callable

    from groupcast.aws.credentials import CredentialsProvider
    from groupcast.aws.http1 import Response
    from groupcast.aws.pool import Timeouts
    from groupcast.aws.sigv4 import Credentials

SERVICE = "execute-api"
# A segment of a path as it goes over the wire (RFC 3986, section 3.3).
_is_segment = re.compile(r"(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})+").fullmatch
# Of an error's text so much is kept.
MAX_MESSAGE_CHARS = 500


class Outcome(Enum):
    """The outcome of a post, which decides the next step."""

    ACCEPTED = "accepted"
    GONE = "gone"  # the client has left: forget it
    REFUSED = "refused"  # will never be accepted: don't repeat it
    THROTTLED = "throttled"  # the account's limit or the client's buffer: repeat it later
    FULL = "full"  # the client leaves too much unread, and the answer says so: repeat it later
    RETRYABLE = "retryable"  # no answer, or a passing one: repeat it; it may have been delivered


class PostResult(NamedTuple):
    """An outcome and its grounds. `status` is 0 without a response; then `error_type` names the exception.

    A slow client and a throttled account share status and error type; only `message` tells them apart, where
    there is one.
    """

    outcome: Outcome
    status: int
    error_type: str = ""
    message: str = ""

    @classmethod
    def without_response(cls, error: GroupcastError) -> PostResult:
        """The result of a post that failed with `error`, sent or not: all of these may be repeated."""
        return cls(Outcome.RETRYABLE, 0, type(error).__name__, str(error))

    @property
    def reason(self) -> str:
        """Status and error type, as logs count them."""
        return f"{self.status} {self.error_type}".strip()


OnResult: TypeAlias = "Callable[[str, PostResult], None]"

_ACCEPTED = PostResult(Outcome.ACCEPTED, 200)
_OK = 200
_FIRST_REDIRECT = 300
_FIRST_SERVER_ERROR = 500
# Any other answer below 500 is REFUSED.
_BY_STATUS = {408: Outcome.RETRYABLE, 410: Outcome.GONE, 429: Outcome.THROTTLED}
# Other credentials or a right clock heal these.
_CREDENTIALS_REFUSED = frozenset(
    {
        "ExpiredToken",
        "ExpiredTokenException",
        "InvalidSignatureException",
        "RequestExpired",
        "SignatureDoesNotMatch",
        "UnrecognizedClientException",
    }
)
# LimitExceededException of @connections, and its general names, which have another status.
_THROTTLES = frozenset({"LimitExceededException", "ThrottlingException", "TooManyRequestsException"})
# LimitExceededException has two causes, and AWS documents them in one sentence: "The client is sending more
# than the allowed number of requests per unit of time or the WebSocket client side buffer is full." A message
# that names the buffer alone is about the client. One that names both, or neither, leaves it open.
_BUFFER, _REQUESTS = "buffer is full", "requests"


def classify(status: int, error_type: str, message: str = "") -> Outcome:
    """Return the outcome that a response stands for."""
    if _OK <= status < _FIRST_REDIRECT:
        return Outcome.ACCEPTED
    if status >= _FIRST_SERVER_ERROR or error_type in _CREDENTIALS_REFUSED:
        return Outcome.RETRYABLE
    outcome = Outcome.THROTTLED if error_type in _THROTTLES else _BY_STATUS.get(status, Outcome.REFUSED)
    if outcome is Outcome.THROTTLED and _BUFFER in message and _REQUESTS not in message:
        return Outcome.FULL
    return outcome


class ManagementClient:
    """Posts to the connections of one API stage, over one pool; on one running event loop.

    `endpoint_url` is `https://{host}/{stage}`, or `https://{custom domain}/{base path}`. Raises ValueError if
    it isn't a plain http(s) URL.
    """

    def __init__(
        self,
        endpoint_url: str,
        region: str,
        credentials: CredentialsProvider,
        *,
        max_connections: int,
        timeouts: Timeouts | None = None,
        cafile: str | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        origin = Origin.of(endpoint_url)
        self.pool = Pool(origin, max_connections=max_connections, timeouts=timeouts, cafile=cafile)
        self.credentials = credentials
        self.clock = clock
        self._region = region
        self._host = origin.host_header
        self._base_path = _base_path(endpoint_url)

    async def batch(self, data: bytes, *, method: str = "POST") -> PreparedBatch:
        """Prepare the posts of `data` to any number of connections. Never raises."""
        # Without credentials each post says so.
        with suppress(NoCredentialsError):
            await self.credentials.ready()
        return PreparedBatch(self, method, data)

    async def delete(self, connection_id: str) -> PostResult:
        """Disconnect a client. Never raises."""
        return await (await self.batch(b"", method="DELETE")).post(connection_id)

    async def close(self) -> None:
        """Close all connections; posts under way end as RETRYABLE."""
        await self.pool.close()

    def signer(self, method: str, data: bytes, credentials: Credentials, unix_s: int) -> ConnectionSigner:
        """Return the signer of one second's requests."""
        scope = Scope(credentials, region=self._region, service=SERVICE, unix_s=unix_s)
        return ConnectionSigner(scope, method, self._host, self._base_path, data)


class PreparedBatch:
    """One payload for many connections. Signed anew each second, with the credentials of the moment."""

    __slots__ = ("_client", "_clock", "_credentials", "_data", "_method", "_pool", "_renew_at", "_signer")

    def __init__(self, client: ManagementClient, method: str, data: bytes) -> None:
        self._client = client
        self._clock = client.clock
        self._pool = client.pool
        self._method = method
        self._data = data
        # At the first post.
        self._renew_at = 0.0

    def send(self, connection_id: str, on_result: OnResult) -> None:
        """Post to one connection; `on_result` gets its id and the result, once.

        It is called later, never from inside `send`, must not raise, and may `send` again. Never raises: a
        post that cannot be sent, for want of credentials or of room in the pool, has a result, too.
        """
        try:
            if self._clock() >= self._renew_at:
                self._renew()
            request = self._signer.request(connection_id)
            self._pool.send(request, partial(self._done, connection_id, on_result))
        except GroupcastError as error:
            unsent = PostResult.without_response(error)
        except ValueError as error:
            unsent = PostResult(Outcome.REFUSED, 0, "InvalidConnectionId", str(error))
        else:
            return
        asyncio.get_running_loop().call_soon(on_result, connection_id, unsent)

    async def post(self, connection_id: str) -> PostResult:
        """`send`, awaitable."""
        future: asyncio.Future[PostResult] = asyncio.get_running_loop().create_future()

        def on_result(_: str, result: PostResult) -> None:
            if not future.done():
                future.set_result(result)

        self.send(connection_id, on_result)
        return await future

    def _renew(self) -> None:
        now = int(self._clock())
        self._credentials = self._client.credentials.current()
        self._signer = self._client.signer(self._method, self._data, self._credentials, now)
        self._renew_at = now + 1

    def _done(self, connection_id: str, on_result: OnResult, result: Response | HttpError) -> None:
        if isinstance(result, HttpError):
            on_result(connection_id, PostResult.without_response(result))
        elif result.status == _OK:
            on_result(connection_id, _ACCEPTED)
        else:
            on_result(connection_id, self._judge(result))

    def _judge(self, response: Response) -> PostResult:
        # The header may name a namespace after the type, behind a colon.
        error_type = response.header("x-amzn-errortype").partition(":")[0]
        if error_type in _CREDENTIALS_REFUSED:
            self._client.credentials.refused(self._credentials)
        message = _message(response.body)
        outcome = classify(response.status, error_type, message)
        return PostResult(outcome, response.status, error_type, message)


def _message(body: bytes) -> str:
    """Return an error's text: the message of `{"message": …}`, or the beginning of any other body."""
    try:
        parsed: Any = orjson.loads(body)
        text = parsed.get("message") or parsed.get("Message") or ""
    except (orjson.JSONDecodeError, AttributeError):
        text = body.decode("utf-8", "replace")
    return str(text)[:MAX_MESSAGE_CHARS]


def _base_path(endpoint_url: str) -> str:
    """Return the path before `/@connections`, as it goes over the wire: the stage's, or a custom domain's."""
    parts = urlsplit(endpoint_url)
    path = parts.path.rstrip("/")
    segments = path.split("/")[1:]
    plain = all(_is_segment(segment) and segment not in {".", ".."} for segment in segments)
    if parts.query or parts.fragment or not plain:
        raise ValueError(f"not a plain URL: {endpoint_url!r}")
    return path
