"""The composition root: starts and stops every part of the local cloud in order."""

from __future__ import annotations

import asyncio
import socket
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Self

from localcloud import children
from localcloud.backends.datafolder import locked
from localcloud.backends.dynamodb import DynamoDBLocal, create_tables
from localcloud.backends.moto import Moto
from localcloud.backends.userpool import create_user_pool, only_pool
from localcloud.errors import StartError
from localcloud.eventsources.queuemapping import QueueMappings
from localcloud.eventsources.queues import Queues
from localcloud.eventsources.streams import POLL_INTERVAL_S, StreamMappings
from localcloud.functions import Environments, InProcess
from localcloud.gateway import Faults, Gateway, GatewayLimits, Posts
from localcloud.gateway.management import REQUESTS_PATH
from localcloud.hops import HopDelays
from localcloud.origins import OriginPolicy
from localcloud.pageserver import PageServer
from localcloud.service.model import with_ids
from localcloud.timeline import Timeline

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from localcloud.backends.dynamodb import OpenTable
    from localcloud.backends.userpool import OpenUserPool
    from localcloud.hops import HopProfile
    from localcloud.invoking import Invoker
    from localcloud.service.model import Service

HOST = "127.0.0.1"
# Credentials for local requests. Not secret: no server here checks them, and AWS does not know them.
ACCESS_KEY_ID = "localcloud"
SECRET_ACCESS_KEY = "localcloud"  # noqa: S105
# How often a start calls `on_step`.
START_STEPS = 4


@dataclass(frozen=True, slots=True)
class CloudOptions:
    """How to run the service. Port 0 takes a free port; `log` is the functions' log file (None: stdout).

    `auth` is `none` or `cognito`, which creates a user pool. `origins` says which pages may send requests.
    `timeline` is the file for each message's timestamps (see Timeline). `hops` delays each hop to that
    profile's latency; `stream_shards` is the number of shards per stream to emulate. `base_path` is in the
    gateway's URL for clients and functions, as in a custom domain's.
    """

    root: Path
    page_port: int = 0
    gateway_port: int = 0
    base_path: str = ""
    data: Path | None = None
    origins: OriginPolicy = field(default_factory=OriginPolicy)
    auth: str = "none"
    in_process: bool = False
    log: Path | None = None
    timeline: Path | None = None
    environments_per_function: int = 4
    poll_interval_s: float = POLL_INTERVAL_S
    limits: GatewayLimits = field(default_factory=GatewayLimits)
    faults: Faults = field(default_factory=Faults)
    hops: HopProfile | None = None
    stream_shards: int = 1


class LocalCloud:
    """An async context manager that runs the whole service. StartError if a part does not start.

    `on_step` gets the name of each step of the start when it begins.
    """

    def __init__(
        self, service: Service, options: CloudOptions, on_step: Callable[[str], None] = lambda _: None
    ) -> None:
        self._service = service
        self._options = options
        self._on_step = on_step
        self._stack = AsyncExitStack()
        self._dynamodb = DynamoDBLocal(options.root, options.data)
        self._moto = Moto(options.origins)
        self.gateway_port = 0
        self.page_port = 0
        self.user_pool: OpenUserPool | None = None

    async def __aenter__(self) -> Self:
        try:
            await self._start()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    @property
    def gateway_url(self) -> str:
        return f"ws://{HOST}:{self.gateway_port}/{self._options.base_path}".rstrip("/")

    @property
    def management_url(self) -> str:
        return f"http://{HOST}:{self.gateway_port}/{self._options.base_path or self._service.stage}"

    @property
    def requests_url(self) -> str:
        """The URL of the gateway's counts of accepted and refused requests."""
        return f"http://{HOST}:{self.gateway_port}{REQUESTS_PATH}"

    @property
    def page_url(self) -> str:
        return f"http://{HOST}:{self.page_port}"

    @property
    def dynamodb_url(self) -> str:
        return self._dynamodb.endpoint

    @property
    def sqs_url(self) -> str:
        return self._moto.endpoint

    async def part_died(self) -> str:
        """Wait until a part ends by itself, and return its name."""
        deaths = {asyncio.create_task(part.died()): part.what for part in (self._dynamodb, self._moto)}
        try:
            done, _ = await asyncio.wait(deaths, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for death in deaths:
                death.cancel()
        return deaths[done.pop()]

    async def _start(self) -> None:
        options = self._options
        # Check everything before anything slow starts.
        if options.auth != "none":
            only_pool(self._service)
        _require_free(options.page_port, "page", "--page-port")
        _require_free(options.gateway_port, "gateway", "--gateway-port")
        if options.data is not None:
            self._stack.enter_context(locked(options.data))
        # The functions need the port before the gateway listens on it.
        self.gateway_port = options.gateway_port or children.free_port()
        self._on_step("starting DynamoDB Local and moto")
        await self._start_together(self._dynamodb, self._moto)
        self._on_step("creating tables and queues")
        service = await self._with_user_pool()
        tables = await create_tables(service.tables.values(), self._aws(self._dynamodb.endpoint))
        queues = await self._stack.enter_async_context(
            Queues(service.queues.values(), self._aws(self._moto.endpoint))
        )
        self._on_step(f"loading {len(service.functions)} functions")
        environments = self._environments(service)
        await self._stack.enter_async_context(environments)
        await environments.warm(service.functions)
        self._on_step("starting streams, queues, gateway and page")
        # The timeline stands before a frame's hop and behind that of a batch.
        hops = None if options.hops is None else HopDelays(options.hops)
        routes: Invoker = environments if hops is None else hops.routes(environments)
        timeline = self._timeline(routes)
        invoker = timeline or routes
        mappings = StreamMappings(
            _reading_from_now(service, tables),
            {name: table.stream_arn for name, table in tables.items()},
            invoker,
            self._aws(self._dynamodb.endpoint),
            send=queues.send,
            poll_interval_s=options.poll_interval_s,
            observer=timeline.observe if timeline else None,
            hop_s=hops.stream_s if hops else None,
            shards=options.stream_shards,
        )
        await self._stack.enter_async_context(mappings)
        from_queues = invoker if hops is None else hops.queues(invoker)
        await self._stack.enter_async_context(
            QueueMappings(
                service.queue_mappings,
                queues,
                from_queues,
                region=service.region,
                # With --in-process each function has one thread.
                at_once=1 if options.in_process else options.environments_per_function,
            )
        )
        posts = Posts(timeline.posted if timeline else None, hops.post_s if hops else None)
        gateway = Gateway(
            service, invoker, options.limits, options.faults, posts, options.origins, options.base_path
        )
        self._stack.push_async_callback(gateway.close)
        await gateway.start(HOST, self.gateway_port)
        page = PageServer(self.gateway_url, self.user_pool, options.origins)
        self._stack.push_async_callback(page.close)
        await page.start(HOST, options.page_port)
        self.page_port = page.port

    async def _start_together(self, *parts: DynamoDBLocal | Moto) -> None:
        """Start parts concurrently; if one fails, the started ones are still stopped on exit."""
        starts = [asyncio.create_task(part.__aenter__()) for part in parts]
        try:
            outcomes = await asyncio.gather(*starts, return_exceptions=True)
        except asyncio.CancelledError:
            for start in starts:
                start.cancel()
            outcomes = await asyncio.gather(*starts, return_exceptions=True)
            self._keep(parts, outcomes)
            raise
        self._keep(parts, outcomes)
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome

    def _keep(self, parts: tuple[DynamoDBLocal | Moto, ...], outcomes: list[Any]) -> None:
        for part, outcome in zip(parts, outcomes, strict=True):
            if not isinstance(outcome, BaseException):
                self._stack.push_async_exit(part)

    async def _with_user_pool(self) -> Service:
        """The service, with the ids of its user pool if it needs one."""
        if self._options.auth == "none":
            return self._service
        self.user_pool = await create_user_pool(self._service, self._aws(self._moto.endpoint))
        return with_ids(self._service, self.user_pool.ids)

    def _environments(self, service: Service) -> Environments | InProcess:
        options = self._options
        endpoints = {
            "AWS_ENDPOINT_URL_DYNAMODB": self._dynamodb.endpoint,
            "AWS_ENDPOINT_URL_SQS": self._moto.endpoint,
            "AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER": self._moto.endpoint,
            "AWS_ENDPOINT_URL_APIGATEWAYMANAGEMENTAPI": self.management_url,
            "AWS_ACCESS_KEY_ID": ACCESS_KEY_ID,
            "AWS_SECRET_ACCESS_KEY": SECRET_ACCESS_KEY,
        }
        if options.in_process:
            return InProcess(service.functions, region=service.region, extra_env=endpoints)
        return Environments(
            service.functions,
            region=service.region,
            extra_env=endpoints,
            limit_per_function=options.environments_per_function,
            log=options.log,
        )

    def _timeline(self, invoker: Invoker) -> Timeline | None:
        if self._options.timeline is None:
            return None
        timeline = Timeline(invoker, self._options.timeline)
        self._stack.callback(timeline.close)
        return timeline

    def _aws(self, endpoint: str) -> dict[str, Any]:
        return {
            "endpoint_url": endpoint,
            "region_name": self._service.region,
            "aws_access_key_id": ACCESS_KEY_ID,
            "aws_secret_access_key": SECRET_ACCESS_KEY,
        }


def _reading_from_now(service: Service, tables: Mapping[str, OpenTable]) -> Service:
    """The service, with streams of tables from an earlier run read from now on.

    The position of an earlier run is not kept, and reading from the start would push all messages again.
    """
    mappings = tuple(
        mapping
        if tables[service.tables[mapping.table].name].is_new
        else replace(mapping, starting_position="LATEST")
        for mapping in service.stream_mappings
    )
    return replace(service, stream_mappings=mappings)


def _require_free(port: int, what: str, option: str) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            raise StartError(
                f"port {port} for the {what} is taken: is another `make up` running? "
                f"Stop it, or choose another port with {option}"
            ) from None
