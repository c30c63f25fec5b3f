"""InProcess, the Invoker for debuggers, behaves like Environments, in one process."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from typing import TYPE_CHECKING

import pytest

from localcloud.errors import FunctionError, StartError
from localcloud.functions import InProcess
from localcloud.service.model import Function
from tests.unit.localcloud.functions.support import FUNCTIONS, functions, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Make functions/sample.py importable, freshly in each test."""
    monkeypatch.syspath_prepend(str(FUNCTIONS))
    yield
    sample = sys.modules.pop("sample", None)
    if sample is not None:
        sample.LOOP.close()


@pytest.fixture
async def pool() -> AsyncIterator[InProcess]:
    async with InProcess(functions(), region="eu-central-1", queue_limit=2) as opened:
        yield opened


async def test_runs_here_and_keeps_its_loop(pool: InProcess) -> None:
    """A function's calls share this process, its module state and its event loop."""
    states = [await pool.invoke("state", {}) for _ in range(3)]
    assert {state["pid"] for state in states} == {os.getpid()}
    assert [state["calls"] for state in states] == [1, 2, 3]


async def test_the_event_is_a_copy(pool: InProcess) -> None:
    """Events and results pass through JSON, as with processes: no object is shared."""
    event = {"list": [1, {"a": None}]}
    echoed = await pool.invoke("echo", event)
    assert echoed == event
    assert echoed["list"] is not event["list"]


async def test_functions_run_concurrently_but_each_one_call_at_a_time(
    pool: InProcess, tmp_path: Path
) -> None:
    """While one function waits, another answers; calls over a function's limit are refused."""
    event = {"started": str(tmp_path / "started"), "gate": str(tmp_path / "gate")}
    calls = [asyncio.create_task(pool.invoke("wait_for", event)) for _ in range(2)]
    await until((tmp_path / "started").exists)
    assert await pool.invoke("echo", {"a": 1}) == {"a": 1}
    with pytest.raises(FunctionError) as refusal:
        await pool.invoke("wait_for", event)
    (tmp_path / "gate").touch()
    await asyncio.gather(*calls)
    assert refusal.value.error_type == "TooManyRequestsException"


async def test_failures_have_the_shapes_of_environments(pool: InProcess) -> None:
    """Exceptions, exits and unknown names are the same FunctionErrors."""
    outcomes = await asyncio.gather(
        pool.invoke("fail", {"message": "broken"}),
        pool.invoke("fail", {"kind": "exit"}),
        pool.invoke("nobody", {}),
        return_exceptions=True,
    )
    types = [outcome.error_type for outcome in outcomes if isinstance(outcome, FunctionError)]
    assert types == ["ValueError", "Runtime.ExitError", "ResourceNotFoundException"]


async def test_a_function_that_does_not_load() -> None:
    """warm and invoke both report the missing module."""
    which = {"it": Function(name="it", handler="nowhere.handler", timeout_s=1, memory_mb=128)}
    async with InProcess(which, region="eu-central-1") as pool:
        for attempt in (pool.warm(["it"]), pool.invoke("it", {})):
            with pytest.raises(FunctionError) as failure:
                await attempt
            assert failure.value.error_type == "Runtime.ImportModuleError"


async def test_the_environment_is_restored(monkeypatch: pytest.MonkeyPatch) -> None:
    """os.environ and the zone are the functions' while it is open."""
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    before = dict(os.environ)
    which = functions(environment={"TABLE": "messages", "ENDPOINT": "https://cloud.example"})
    async with InProcess(which, region="eu-central-1", extra_env={"ENDPOINT": "http://127.0.0.1:1"}) as pool:
        told = await pool.invoke("about", {})
    assert (told["environ"]["TABLE"], told["environ"]["ENDPOINT"]) == ("messages", "http://127.0.0.1:1")
    assert (told["environ"]["AWS_REGION"], told["zone"]) == ("eu-central-1", "UTC")
    assert dict(os.environ) == before
    assert time.tzname[0] == "EST"
    monkeypatch.undo()
    time.tzset()


async def test_functions_that_differ_in_a_variable_cannot_share_a_process() -> None:
    """Two values of a variable are refused at start, with its name, and os.environ stays unchanged."""
    which = {
        "one": Function("one", "sample.echo", 1, 128, {"SIZE": "1"}),
        "two": Function("two", "sample.echo", 1, 128, {"SIZE": "2"}),
    }
    with pytest.raises(StartError, match="SIZE differs"):
        await InProcess(which, region="eu-central-1").__aenter__()
    assert "SIZE" not in os.environ
