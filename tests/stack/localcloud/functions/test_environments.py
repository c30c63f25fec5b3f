"""Environments from a caller's view: real processes, real kills."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import uvloop

from localcloud.errors import FunctionError, StartError
from tests.unit.localcloud.functions.support import (
    FUNCTIONS,
    environments,
    functions,
    is_alive,
    parent_of,
    until,
)

if TYPE_CHECKING:
    from localcloud.functions import Environments

JSON_VALUES = {"text": 'é\u2028"', "list": [1, 2.5, None, True], "nested": {"a": {"b": []}}}


async def start_waiting(pool: Environments, tmp_path: Path, name: str = "one") -> asyncio.Task[Any]:
    """An invocation that runs until the file `gate` exists."""
    started = tmp_path / name
    event = {"started": str(started), "gate": str(tmp_path / "gate")}
    task = asyncio.create_task(pool.invoke("wait_for", event))
    await until(started.exists)
    return task


async def test_invoke_returns_the_handlers_result(pool: Environments) -> None:
    """JSON of every kind is returned unchanged."""
    assert await pool.invoke("echo", JSON_VALUES) == JSON_VALUES


async def test_carries_large_events_and_results(pool: Environments) -> None:
    """5 MB each way, far more than a socket's buffer."""
    event = {"Records": ["r" * 1000] * 5000}
    assert await pool.invoke("echo", event) == event


async def test_environment_stays_warm(pool: Environments) -> None:
    """One process serves successive calls, keeping its module state and event loop."""
    states = [await pool.invoke("state", {}) for _ in range(5)]
    assert [state["calls"] for state in states] == [1, 2, 3, 4, 5]
    assert len({(state["pid"], state["loop"]) for state in states}) == 1
    assert pool.snapshot()["state"].cold_starts == 1


async def test_two_at_once_run_in_two_processes(pool: Environments, tmp_path: Path) -> None:
    """Each invocation waits for the other's mark, so both end only if they run in parallel."""
    event = {"folder": str(tmp_path), "count": 2}
    pids = await asyncio.gather(pool.invoke("meet", event), pool.invoke("meet", event))
    assert len(set(pids)) == 2
    assert sorted(pool.snapshot()["meet"].idle) == sorted(pids)


async def test_the_environment_used_last_is_used_next(pool: Environments, tmp_path: Path) -> None:
    """Of two idle environments, only one serves sequential calls."""
    event = {"folder": str(tmp_path), "count": 2}
    await asyncio.gather(pool.invoke("meet", event), pool.invoke("meet", event))
    hottest = pool.snapshot()["meet"].idle[-1]
    assert {await pool.invoke("meet", event) for _ in range(5)} == {hottest}


async def test_runs_under_uvloop() -> None:
    """The parent's side works with uvloop's transports: reply, kill and close."""

    async def scenario() -> tuple[Any, FunctionError]:
        async with environments() as pool:
            echoed = await pool.invoke("echo", JSON_VALUES)
            busy = asyncio.create_task(pool.invoke("wait_for", {"started": os.devnull, "gate": "/nowhere"}))
            await until(lambda: bool(pool.snapshot()["wait_for"].busy))
            os.kill(pool.snapshot()["wait_for"].busy[0], signal.SIGKILL)
            with pytest.raises(FunctionError) as failure:
                await busy
            return echoed, failure.value

    echoed, failure = await asyncio.to_thread(uvloop.run, scenario())
    assert echoed == JSON_VALUES
    assert failure.error_type == "Runtime.ExitError"


async def test_one_killed_at_work_fails_its_invocation_and_is_replaced(
    pool: Environments, tmp_path: Path
) -> None:
    """SIGKILL during an event is Runtime.ExitError; the next event gets a new process."""
    running = await start_waiting(pool, tmp_path)
    (killed,) = pool.snapshot()["wait_for"].busy
    os.kill(killed, signal.SIGKILL)
    with pytest.raises(FunctionError) as failure:
        await running
    assert failure.value.error_type == "Runtime.ExitError"
    (tmp_path / "gate").touch()
    event = {"started": str(tmp_path / "again"), "gate": str(tmp_path / "gate")}
    assert await pool.invoke("wait_for", event) != killed


async def test_one_killed_while_idle_is_replaced(pool: Environments) -> None:
    """Without any error."""
    first = await pool.invoke("pid_or_fail", {})
    os.kill(first, signal.SIGKILL)
    await until(lambda: not pool.snapshot()["pid_or_fail"].idle)
    assert await pool.invoke("pid_or_fail", {}) != first


async def test_a_handler_that_exits_loses_its_environment(pool: Environments) -> None:
    """sys.exit() in a handler is Runtime.ExitError, as on Lambda."""
    with pytest.raises(FunctionError) as failure:
        await pool.invoke("fail", {"kind": "exit"})
    assert failure.value.error_type == "Runtime.ExitError"
    assert failure.value.message.endswith("Runtime exited without providing a reason")


async def test_timeout_kills_the_environment(tmp_path: Path) -> None:
    """The error has Lambda's words, and the environment is replaced."""
    async with environments(functions(timeout_s=1)) as pool:
        running = await start_waiting(pool, tmp_path)
        (pid,) = pool.snapshot()["wait_for"].busy
        with pytest.raises(FunctionError) as failure:
            await running
        assert failure.value.error_type == "Sandbox.Timedout"
        assert failure.value.message.endswith("Task timed out after 1.00 seconds")
        await until(lambda: not is_alive(pid))
        (tmp_path / "gate").touch()
        event = {"started": str(tmp_path / "again"), "gate": str(tmp_path / "gate")}
        assert await pool.invoke("wait_for", event) != pid


async def test_cancelling_leaves_the_environment_to_finish(pool: Environments, tmp_path: Path) -> None:
    """A cancelled call does not stop the handler; its environment serves the next call."""
    running = await start_waiting(pool, tmp_path)
    (pid,) = pool.snapshot()["wait_for"].busy
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert pool.snapshot()["wait_for"].busy == (pid,)
    (tmp_path / "gate").touch()
    await until(lambda: pool.snapshot()["wait_for"].idle == (pid,))


async def test_waiting_is_bounded_and_first_come_first_served(tmp_path: Path) -> None:
    """At the limits one more call is refused; waiting ones are served in order, and none is lost."""
    async with environments(limit_per_function=1, queue_limit=3) as pool:
        served: list[int] = []

        async def call(number: int) -> None:
            event = {"started": str(tmp_path / str(number)), "gate": str(tmp_path / "gate")}
            await pool.invoke("wait_for", event)
            served.append(number)

        running = await start_waiting(pool, tmp_path)
        calls = [asyncio.create_task(call(number)) for number in range(3)]
        await until(lambda: pool.snapshot()["wait_for"].waiting == 3)
        with pytest.raises(FunctionError) as refusal:
            await pool.invoke("wait_for", {})
        assert refusal.value.error_type == "TooManyRequestsException"
        (tmp_path / "gate").touch()
        await asyncio.gather(running, *calls)
        assert served == [0, 1, 2]
        assert pool.snapshot()["wait_for"].cold_starts == 1


async def test_a_call_cancelled_while_waiting_never_runs(tmp_path: Path) -> None:
    """It gives up its place."""
    async with environments(limit_per_function=1) as pool:
        running = await start_waiting(pool, tmp_path)
        event = {"started": str(tmp_path / "never"), "gate": str(tmp_path / "gate")}
        waiting = asyncio.create_task(pool.invoke("wait_for", event))
        await until(lambda: pool.snapshot()["wait_for"].waiting == 1)
        waiting.cancel()
        await asyncio.wait([waiting])
        assert pool.snapshot()["wait_for"].waiting == 0
        (tmp_path / "gate").touch()
        await running
        await pool.invoke("wait_for", event | {"started": str(tmp_path / "last")})
        assert not (tmp_path / "never").exists()


async def test_an_environment_given_to_a_cancelled_call_is_not_lost() -> None:
    """A caller cancelled at that moment passes it on."""
    async with environments(limit_per_function=1) as pool:
        await pool.warm(["pid_or_fail"])
        places = pool._pools["pid_or_fail"]
        environment = places.idle.pop()
        places.busy.add(environment)
        waiting = asyncio.create_task(pool.invoke("pid_or_fail", {}))
        await until(lambda: pool.snapshot()["pid_or_fail"].waiting == 1)
        pool._release(places, environment)
        waiting.cancel()
        await asyncio.wait([waiting])
        assert pool.snapshot()["pid_or_fail"].idle == (environment.pid,)


async def test_warm_starts_each_function_once(pool: Environments) -> None:
    """After one or two calls of warm, each has one process, and invoking starts none."""
    await pool.warm(["echo", "pid_or_fail"])
    await pool.warm(["echo", "pid_or_fail"])
    (ready,) = pool.snapshot()["pid_or_fail"].idle
    assert await pool.invoke("pid_or_fail", {}) == ready
    assert pool.snapshot()["echo"].cold_starts == 1


async def test_ctrl_c_does_not_end_an_event(pool: Environments, tmp_path: Path) -> None:
    """A terminal sends SIGINT to all processes; only the parent acts on it."""
    running = await start_waiting(pool, tmp_path)
    (pid,) = pool.snapshot()["wait_for"].busy
    os.kill(pid, signal.SIGINT)
    (tmp_path / "gate").touch()
    assert await running == pid


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc, and relies on PR_SET_PDEATHSIG")
async def test_a_dead_zygote_is_started_again(pool: Environments) -> None:
    """Its environments die with it, and the next event gets new ones."""
    first = await pool.invoke("pid_or_fail", {})
    zygote = parent_of(first)
    os.kill(zygote, signal.SIGKILL)
    await until(lambda: not is_alive(first))
    await until(lambda: not pool.snapshot()["pid_or_fail"].idle)
    second = await pool.invoke("pid_or_fail", {})
    assert parent_of(second) != zygote


@pytest.mark.parametrize("settings", [{}, {"log": Path("/nowhere/log")}])
async def test_a_failed_start_is_a_start_error(
    monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any]
) -> None:
    """Without an interpreter for the zygote, or a writable log."""
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(StartError):
        await environments(**settings).__aenter__()


async def test_an_unknown_function_is_resource_not_found() -> None:
    """Lambda's ResourceNotFoundException, before anything starts."""
    with pytest.raises(FunctionError) as failure:
        await environments().invoke("nobody", {})
    assert failure.value.error_type == "ResourceNotFoundException"


async def test_closing_answers_everybody(tmp_path: Path) -> None:
    """Running and waiting calls get an error instead of hanging."""
    async with environments(limit_per_function=1) as pool:
        running = await start_waiting(pool, tmp_path)
        waiting = asyncio.create_task(pool.invoke("wait_for", {}))
        await until(lambda: pool.snapshot()["wait_for"].waiting == 1)
    errors = await asyncio.gather(running, waiting, return_exceptions=True)
    assert [getattr(error, "error_type", error) for error in errors] == [
        "Runtime.ExitError",
        "ServiceException",
    ]


async def test_functions_write_to_the_log(tmp_path: Path) -> None:
    """With `log`, stdout, stderr and tracebacks are in the file when the call returns."""
    log = tmp_path / "functions.log"
    async with environments(log=log) as pool:
        await pool.invoke("shout", {"out": "to stdout", "err": "to stderr"})
        assert set(log.read_text().splitlines()) == {"to stdout", "to stderr"}
        with pytest.raises(FunctionError):
            await pool.invoke("fail", {"message": "broken"})
        assert "[ERROR] ValueError: broken\nTraceback (most recent call last):\n" in log.read_text()
        assert str(FUNCTIONS / "sample.py") in log.read_text()
        await asyncio.gather(pool.invoke("fail", {"kind": "exit"}), return_exceptions=True)
        assert "Runtime exited without providing a reason" in log.read_text()


async def test_a_full_disk_costs_only_log_lines(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Functions return normally, one warning appears, and with room again logging resumes."""
    log = tmp_path / "functions.log"
    async with environments(log=log) as pool:
        await pool.invoke("shout", {"out": "first", "err": "second"})
        size = log.stat().st_size
        for _ in range(2):
            event = {"out": "lost", "err": "lost", "bytes": size + 2}
            assert await pool.invoke("shout_limited", event) is None
        await pool.invoke("shout_limited", {"out": "third", "err": "fourth", "bytes": 1_000_000})
    assert log.read_text().splitlines() == ["first", "second", "lo", "third", "fourth"]
    assert [record.getMessage() for record in caplog.records] == [
        f"cannot write the functions' log {log}: File too large. Its lines are lost until that changes"
    ]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
async def test_a_full_disk_fails_no_function(caplog: pytest.LogCaptureFixture) -> None:
    """Even one that dies or raises is answered normally, although nothing can be logged."""
    async with environments(log=Path("/dev/full")) as pool:
        await pool.invoke("shout", {"out": "lost", "err": "lost"})
        with pytest.raises(FunctionError, match="ValueError: broken"):
            await pool.invoke("fail", {"message": "broken"})
        with pytest.raises(FunctionError, match="Runtime exited without providing a reason"):
            await pool.invoke("fail", {"kind": "exit"})
        assert await pool.invoke("echo", JSON_VALUES) == JSON_VALUES
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "/dev/full: No space left on device" in caplog.text
