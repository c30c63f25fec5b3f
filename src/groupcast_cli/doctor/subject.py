"""The stage under examination, and answers of AWS that several checks need: each is asked for once."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, Self

import aioboto3
from botocore.exceptions import BotoCoreError, ClientError

from groupcast_cli.doctor.expected import Expected
from groupcast_cli.doctor.finding import CannotCheckError
from groupcast_cli.stage import CONFIG, NOT_ALLOWED, SERVICE, explained, session_keys

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from groupcast_cli.stage import Place

# SNS calls it AuthorizationError.
NOT_PERMITTED = NOT_ALLOWED | {"AuthorizationError"}
# What emulators say of an API that they lack; some say nothing, and the code is the HTTP status.
NOT_THERE = frozenset(
    {"InvalidAction", "NotImplemented", "UnknownOperationException", "UnsupportedOperation"}
)
# Where an IAM action is not `service:Operation` (Service Authorization Reference).
ACTIONS = {("apigateway", "GetAccount"): "apigateway:GET"}
ACTION_SERVICES = {"service-quotas": "servicequotas"}


class Subject:
    """Clients of a stage's services. Entering it opens nothing yet; leaving it closes the clients."""

    def __init__(self, stage: str, place: Place) -> None:
        self.stage = stage
        self.place = place
        self.stack_name = f"{SERVICE}-{stage}"
        self._closing = contextlib.AsyncExitStack()
        self._opening = asyncio.Lock()
        # Made by the first call, which reports a wrong profile.
        self._session: Any = None
        self._clients: dict[str, Any] = {}
        self._answers: dict[str, asyncio.Task[Any]] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for answer in self._answers.values():
            answer.cancel()
        await asyncio.gather(*self._answers.values(), return_exceptions=True)
        await self._closing.aclose()

    async def call(self, service: str, operation: str, **arguments: Any) -> Any:
        """An answer of AWS; `operation` as boto3 has it. CannotCheckError with the reason where AWS refuses.

        An error that says something about the stage can be caught: it is the `__cause__`.
        """
        try:
            return await getattr(await self._client(service), operation)(**arguments)
        except (BotoCoreError, ClientError, ValueError) as error:
            # ValueError: a malformed AWS_ENDPOINT_URL.
            raise CannotCheckError(_reason(service, error, self.place)) from error

    async def _client(self, service: str) -> Any:
        """A client, made when first asked for."""
        async with self._opening:
            if self._session is None:
                self._session = aioboto3.Session(**session_keys(self.place))
            if service not in self._clients:
                self._clients[service] = await self._closing.enter_async_context(
                    self._session.client(
                        service,
                        region_name=self.place.region,
                        endpoint_url=self.place.endpoint_url,
                        config=CONFIG,
                    )
                )
        return self._clients[service]

    async def stack(self) -> Mapping[str, Any]:
        """The stack as DescribeStacks answers."""
        answer = await self._once("cloudformation", "describe_stacks", StackName=self.stack_name)
        found: Mapping[str, Any] = answer["Stacks"][0]
        return found

    async def template(self) -> Mapping[str, Any]:
        """The template that the stage was deployed with."""
        answer = await self._once("cloudformation", "get_template", StackName=self.stack_name)
        found: Mapping[str, Any] = answer["TemplateBody"]
        return found

    async def expected(self) -> Expected:
        """The stage's settings, from its template."""
        return Expected.of(await self.template())

    async def account(self) -> Mapping[str, Any]:
        """API Gateway's account, with its role for logs and its limits."""
        found: Mapping[str, Any] = await self._once("apigateway", "get_account")
        return found

    async def _once(self, service: str, operation: str, **arguments: Any) -> Any:
        if operation not in self._answers:
            self._answers[operation] = asyncio.create_task(self.call(service, operation, **arguments))
        # A check that runs out of time must not take the answer from the others.
        return await asyncio.shield(self._answers[operation])


def iam_action(service: str, operation: str) -> str:
    """The IAM action that an operation needs."""
    return ACTIONS.get((service, operation), f"{ACTION_SERVICES.get(service, service)}:{operation}")


def _reason(service: str, error: Exception, place: Place) -> str:
    if isinstance(error, ClientError):
        code, operation = error.response["Error"]["Code"], error.operation_name
        if code in NOT_PERMITTED:
            return f"these credentials lack the permission {iam_action(service, operation)}"
        if code.isdigit() or code in NOT_THERE:
            return f"{place.endpoint_url or place.region} has no {operation} of {service}"
    return explained(error, place)
