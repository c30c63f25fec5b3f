"""StreamMappings refuse values that Lambda refuses, before anything starts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from localcloud.errors import ServiceError
from localcloud.eventsources.streams import StreamMappings
from localcloud.service.model import Service, Table
from tests.unit.localcloud.eventsources.streams.support import FakeInvoker, Queue, a_mapping

if TYPE_CHECKING:
    from localcloud.service.model import StreamMapping

TABLE = Table("T", {"TableName": "t"}, None)
# Nothing listens there: the tests fail before any call.
AWS = {
    "endpoint_url": "http://127.0.0.1:1",
    "region_name": "eu-central-1",
    "aws_access_key_id": "local",
    "aws_secret_access_key": "local",
}


def mappings(mapping: StreamMapping, stream_arn: str | None = None) -> StreamMappings:
    service = Service("s", "dev", "eu-central-1", {}, {}, {"T": TABLE}, {}, (mapping,))
    return StreamMappings(service, {"t": stream_arn}, FakeInvoker(), AWS, send=Queue().send)


async def test_a_table_without_a_stream_is_refused() -> None:
    """The error names the table."""
    with pytest.raises(ServiceError, match="table T has no stream"):
        await mappings(a_mapping()).__aenter__()
