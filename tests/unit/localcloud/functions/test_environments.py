"""Environments, as who invokes sees them: real processes, real kills."""

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
    """An invocation that runs until the file `gate` is there."""
    started = tmp_path / name
    event = {"started": str(started), "gate": str(tmp_path / "gate")}
    task = asyncio.create_task(pool.invoke("wait_for", event))
    await until(started.exists)
    return task


async def test_returns_what_the_handler_returned(pool: Environments) -> None:
    """JSON of every kind comes back as it was sent."""
    assert await pool.invoke("echo", JSON_VALUES) == JSON_VALUES


async def test_carries_large_events_and_results(pool: Environments) -> None:
    """A 5 MB event and a 5 MB result, far over a socket's buffer, arrive whole."""
    event = {"Records": ["r" * 1000] * 5000}
    assert await pool.invoke("echo", event) == event


async def test_environment_stays_warm(pool: Environments) -> None:
    """One process serves calls one after the other, and keeps its module state and its event loop."""
    states = [await pool.invoke("state", {}) for _ in range(5)]
    assert [state["calls"] for state in states] == [1, 2, 3, 4, 5]
    assert len({(state["pid"], state["loop"]) for state in states}) == 1
    assert pool.snapshot()["state"].cold_starts == 1


async def test_two_at_once_run_in_two_processes(pool: Environments, tmp_path: Path) -> None:
    """Each of two invocations waits for the other's mark, so neither could end if they were not parallel."""
    event = {"folder": str(tmp_path), "count": 2}
    pids = await asyncio.gather(pool.invoke("meet", event), pool.invoke("meet", event))
    assert len(set(pids)) == 2
    assert sorted(pool.snapshot()["meet"].idle) == sorted(pids)


async def test_the_environment_used_last_is_used_next(pool: Environments, tmp_path: Path) -> None:
    """Of two idle environments, only one serves a caller who invokes one at a time."""
    event = {"folder": str(tmp_path), "count": 2}
    await asyncio.gather(pool.invoke("meet", event), pool.invoke("meet", event))
    hottest = pool.snapshot()["meet"].idle[-1]
    assert {await pool.invoke("meet", event) for _ in range(5)} == {hottest}


async def test_runs_under_uvloop() -> None:
    """The parent's side works on uvloop's transports: a reply, a killed process and the end."""

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
    """SIGKILL in the middle of an event is Runtime.ExitError; the next event has a new process."""
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
    """Nobody hears of a process that died between two events."""
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
    """A function over its time is killed, says so in Lambda's words, and is replaced."""
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
    """A caller that gives up does not stop the handler; its environment serves the next call."""
    running = await start_waiting(pool, tmp_path)
    (pid,) = pool.snapshot()["wait_for"].busy
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert pool.snapshot()["wait_for"].busy == (pid,)
    (tmp_path / "gate").touch()
    await until(lambda: pool.snapshot()["wait_for"].idle == (pid,))


async def test_waiting_is_bounded_and_first_come_first_served(tmp_path: Path) -> None:
    """At the limits one more caller is refused; those who wait are served in order, none is lost."""
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


async def test_a_caller_that_stops_waiting_is_not_served(tmp_path: Path) -> None:
    """Cancelled while it waits, an invocation never reaches the handler and leaves its place."""
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


async def test_an_environment_given_to_who_left_is_not_lost() -> None:
    """A caller cancelled in the moment it is served passes its environment on."""
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
    """After warm, and after another warm, one process of each stands ready; invoking starts none."""
    await pool.warm(["echo", "pid_or_fail"])
    await pool.warm(["echo", "pid_or_fail"])
    (ready,) = pool.snapshot()["pid_or_fail"].idle
    assert await pool.invoke("pid_or_fail", {}) == ready
    assert pool.snapshot()["echo"].cold_starts == 1


async def test_ctrl_c_does_not_end_an_event(pool: Environments, tmp_path: Path) -> None:
    """SIGINT, which a terminal sends to all, is the parent's to act on."""
    running = await start_waiting(pool, tmp_path)
    (pid,) = pool.snapshot()["wait_for"].busy
    os.kill(pid, signal.SIGINT)
    (tmp_path / "gate").touch()
    assert await running == pid


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc, and relies on PR_SET_PDEATHSIG")
async def test_a_dead_zygote_is_started_again(pool: Environments) -> None:
    """When the forking process dies its environments die too, and the next event has new ones."""
    first = await pool.invoke("pid_or_fail", {})
    zygote = parent_of(first)
    os.kill(zygote, signal.SIGKILL)
    await until(lambda: not is_alive(first))
    await until(lambda: not pool.snapshot()["pid_or_fail"].idle)
    second = await pool.invoke("pid_or_fail", {})
    assert parent_of(second) != zygote


@pytest.mark.parametrize("settings", [{}, {"log": Path("/nowhere/log")}])
async def test_what_cannot_start_says_so(monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any]) -> None:
    """Without an interpreter that runs the zygote, or a log to write to, opening is a StartError."""
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(StartError):
        await environments(**settings).__aenter__()


async def test_unknown_function() -> None:
    """A name that is not in the service is Lambda's ResourceNotFoundException, before anything starts."""
    with pytest.raises(FunctionError) as failure:
        await environments().invoke("nobody", {})
    assert failure.value.error_type == "ResourceNotFoundException"


async def test_closing_answers_everybody(tmp_path: Path) -> None:
    """Who runs or waits when the pool closes gets an error, and does not hang."""
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
    """With `log`, stdout, stderr and tracebacks of functions are in the file when the call returns."""
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


async def test_a_full_disk_costs_lines_of_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Functions return as ever, one warning says so, and with room again lines are whole again."""
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
    """Also one that dies or raises is answered as ever, though nothing can be written from the start."""
    async with environments(log=Path("/dev/full")) as pool:
        await pool.invoke("shout", {"out": "lost", "err": "lost"})
        with pytest.raises(FunctionError, match="ValueError: broken"):
            await pool.invoke("fail", {"message": "broken"})
        with pytest.raises(FunctionError, match="Runtime exited without providing a reason"):
            await pool.invoke("fail", {"kind": "exit"})
        assert await pool.invoke("echo", JSON_VALUES) == JSON_VALUES
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "/dev/full: No space left on device" in caplog.text
