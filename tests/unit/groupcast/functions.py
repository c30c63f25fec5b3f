"""The functions of serverless.yml in this process: loaded anew under an environment, as Lambda loads them."""

from __future__ import annotations

import asyncio
import gc
import importlib.util
import itertools
import json
import os
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from groupcast.errors import SettingsError
from groupcast.runtime.environment import Environment
from localcloud.service.definition import load_service
from tests.conftest import REGION, ROOT
from tests.unit.groupcast.cloud import STAGE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import pytest

    from tests.unit.groupcast.cloud import Cloud

NAMESPACE = "groupcast"


@dataclass(frozen=True)
class Context:
    """What functions use of Lambda's."""

    remaining_ms: int = 20_000

    def get_remaining_time_in_millis(self) -> int:
        return self.remaining_ms


class Functions:
    """Functions by their names in serverless.yml, with these parameters; `close` their clients at the end.

    They call `cloud`, or nobody where it is None: then their settings are missing.
    """

    def __init__(self, cloud: Cloud | None, *names: str, **params: str) -> None:
        service = load_service(ROOT / "serverless.yml", stage=STAGE, region=REGION, params=params)
        self._environs: dict[str, dict[str, str]] = {}
        self._handlers: dict[str, Callable[[Any, Any], dict[str, Any]]] = {}
        before = set(map(id, _environments()))
        for name in names or tuple(service.functions):
            function = service.functions[name]
            self._environs[name] = {**function.environment, **cloud.environ} if cloud else {}
            with patch.dict(os.environ, self._environs[name], clear=True):
                self._handlers[name] = _load(function.handler)
        self._opened = [one for one in _environments() if id(one) not in before]

    @property
    def names(self) -> set[str]:
        return set(self._handlers)

    def invoke(
        self, name: str, event: Mapping[str, Any], log: str = STAGE, remaining_ms: int = 20_000
    ) -> dict[str, Any]:
        """The answer. `log` is the service that logs and metrics name."""
        environ = {**self._environs[name], "POWERTOOLS_SERVICE_NAME": log}
        with patch.dict(os.environ, environ, clear=True):
            return self._handlers[name](event, Context(remaining_ms))

    def close(self) -> None:
        """Wait for calls that failed frames left behind, and close all clients."""
        for environment in self._opened:
            with suppress(SettingsError):
                environment.run(_settle)
            environment.close()


@dataclass(frozen=True)
class Metric:
    """A metric as CloudWatch takes it from the log; it has one value or several."""

    name: str
    unit: str
    values: list[float]
    dimensions: dict[str, str]


@dataclass
class Said:
    """What functions wrote to stdout: log lines by their messages, and metrics in order."""

    logs: dict[str, dict[str, Any]] = field(default_factory=dict)
    metrics: list[Metric] = field(default_factory=list)

    @property
    def values(self) -> dict[str, list[float]]:
        """Values of metrics by name."""
        assert len({metric.name for metric in self.metrics}) == len(self.metrics)
        return {metric.name: metric.values for metric in self.metrics}


_numbers = itertools.count()


class Output:
    """Reads what functions say. `service` is new for each test, since a logger keeps its first stdout."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        self.service = f"unit-{next(_numbers)}"

    def read(self) -> Said:
        """What was said since the last call. AssertionError for a record that CloudWatch would not take."""
        said = Said()
        for line in self._capsys.readouterr().out.splitlines():
            record = json.loads(line)
            if "_aws" in record:
                said.metrics += _metrics(record)
            else:
                assert record["service"] == self.service
                said.logs[record["message"]] = record
        return said


def _metrics(record: dict[str, Any]) -> list[Metric]:
    """The metrics of a record in CloudWatch's embedded metric format."""
    assert record["_aws"]["Timestamp"] > 0
    found = []
    for directive in record["_aws"]["CloudWatchMetrics"]:
        assert directive["Namespace"] == NAMESPACE
        (names,) = directive["Dimensions"]
        dimensions = {name: record[name] for name in names}
        for one in directive["Metrics"]:
            values = record[one["Name"]]
            values = values if isinstance(values, list) else [values]
            assert 1 <= len(values) <= 100
            found.append(Metric(one["Name"], one["Unit"], values, dimensions))
    return found


async def _settle(_opened: object) -> None:
    left = asyncio.all_tasks() - {asyncio.current_task()}
    await asyncio.gather(*left, return_exceptions=True)


def _load(handler: str) -> Callable[[Any, Any], dict[str, Any]]:
    """A handler from a copy of its module that nobody else has."""
    name, _, attribute = handler.rpartition(".")
    spec = importlib.util.find_spec(name)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    loaded: Callable[[Any, Any], dict[str, Any]] = getattr(module, attribute)
    return loaded


def _environments() -> list[Environment[Any]]:
    return [one for one in gc.get_objects() if type(one) is Environment]
