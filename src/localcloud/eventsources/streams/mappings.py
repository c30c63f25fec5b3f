"""All event source mappings of a service."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

import aioboto3

from localcloud.errors import ServiceError
from localcloud.eventsources.streams.destination import Destination
from localcloud.eventsources.streams.filters import compile_filters
from localcloud.eventsources.streams.mapping import Mapping
from localcloud.eventsources.streams.settings import POLL_INTERVAL_S, StreamSettings
from localcloud.eventsources.streams.shard import Source

if TYPE_CHECKING:
    import collections.abc as c

    from localcloud.eventsources.streams.destination import Send
    from localcloud.eventsources.streams.shard import Observer
    from localcloud.invoking import Invoker
    from localcloud.service.model import Service, StreamMapping


class StreamMappings:
    """An async context manager in which streams invoke functions.

    `stream_arns` is by table name, `aws` the keyword arguments of a client. `send` sends a body to a queue by
    logical id. `observer` gets the event records of each page before filtering. `hop_s` draws each page's
    delay (s) from its write to the function; None adds no delay. `shards` is the number of shards that AWS
    would have: DynamoDB Local has one shard, which gets the lanes of all of them.

    ServiceError for a table without a stream. Positions are not kept: the next start begins at the starting
    position again.
    """

    def __init__(
        self,
        service: Service,
        stream_arns: c.Mapping[str, str | None],
        invoker: Invoker,
        aws: c.Mapping[str, Any],
        *,
        send: Send,
        poll_interval_s: float = POLL_INTERVAL_S,
        observer: Observer | None = None,
        hop_s: c.Callable[[], float] | None = None,
        shards: int = 1,
    ) -> None:
        self._service = service
        self._stream_arns = stream_arns
        self._invoker = invoker
        self._aws = aws
        self._send = send
        self._settings = StreamSettings(poll_interval_s=poll_interval_s)
        self._observer = observer
        self._hop_s = hop_s
        self._shards = shards
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Return once every mapping's position is fixed; StartError if a stream cannot be read."""
        try:
            client = await self._stack.enter_async_context(
                aioboto3.Session().client("dynamodbstreams", **self._aws)
            )
            for stream_mapping in self._service.stream_mappings:
                mapping = Mapping(self._source(stream_mapping, client))
                self._stack.push_async_callback(mapping.close)
                await mapping.start()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    def _source(self, mapping: StreamMapping, client: Any) -> Source:
        stream_arn = self._stream_arns.get(self._service.tables[mapping.table].name)
        if stream_arn is None:
            raise ServiceError(f"table {mapping.table} has no stream for {mapping.function}")
        region = self._service.region
        return Source(
            mapping=replace(mapping, parallelization=mapping.parallelization * self._shards),
            client=client,
            invoker=self._invoker,
            destination=Destination(
                mapping, self._send, self._settings, region=region, stream_arn=stream_arn
            ),
            settings=self._settings,
            stream_arn=stream_arn,
            region=region,
            accepts=compile_filters(mapping.filters),
            observer=self._observer,
            hop_s=self._hop_s,
        )
