"""The processes of a run: null server, workers, and the command itself."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from loadtest.control.children import ROOT, child
from loadtest.control.runner import Session, run
from loadtest.errors import LoadTestError
from loadtest.experiments.calibration import calibrate, floor_of, null_server
from loadtest.generate.protocol import Command, Order, line
from loadtest.plan.scenario import Scenario
from loadtest.results.result import Result
from tests.contract.peer import Peer
from tests.stack.loadtest.known import Known, serving

PATIENCE_S = 20


@asynccontextmanager
async def command(*arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run `python -m loadtest …`; it ends with the test at the latest."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "loadtest", *arguments),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def true_in_time(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        # Poll: the server's counts have no events.
        while not condition():  # noqa: ASYNC110 - see above
            await asyncio.sleep(0.05)


async def test_the_null_server_speaks_the_wire_contract() -> None:
    """A websockets client gets its ack and push, a pong, and an error for unknown actions."""
    async with null_server(10) as url, Peer.connect(url) as one, Peer.connect(url) as two:
        for peer in (one, two):
            await peer.send({"action": "joinGroup", "groupId": "g"})
            assert (await peer.expect("joined"))["groupId"] == "g"
        await one.send({"action": "sendMessage", "messageId": "abc", "message": "hi"})
        assert (await one.expect("ack"))["seq"] == 1
        for peer in (one, two):
            (message,) = (await peer.expect("messages"))["messages"]
            assert (message["messageId"], message["seq"], message["message"]) == ("abc", 1, "hi")
        await one.send({"action": "ping"})
        assert (await one.expect("pong"))["groupId"] == "g"
        await one.send({"action": "dance"})
        assert (await one.expect("error"))["code"] == "BadRequest"


async def test_a_drain_ends_when_everything_has_arrived() -> None:
    """With `settle_s`, and the result is complete."""
    scenario = Scenario(users=10, rate=20, duration_s=1, warmup_s=0, drain_s=10 * PATIENCE_S)
    async with null_server(10) as url, asyncio.timeout(scenario.drain_s):
        result = await run(scenario, Session(url, settle_s=0.5))
    assert (result.ledger.lost, result.ledger.sent) == (0, result.ledger.acknowledged)
    assert result.ledger.received > 0


async def test_calibration_is_a_run_on_the_null_server() -> None:
    """It loses nothing for any stages, and its floor is the measured latency."""
    scenario = Scenario(users=30, groups=2, rate=50, duration_s=60)
    result = await calibrate(scenario, 1.0, asyncio.Event())
    floor = floor_of(result)
    assert result.target.label == "null server"
    assert result.ledger.lost == 0
    assert result.scenario.duration_s == 1
    assert floor.messages == sum(group.messages for group in result.groups) > 10
    assert floor.p50 == result.metrics.delivery_ms.p50


async def test_a_worker_ends_with_its_runner() -> None:
    """A worker whose input ends exits within seconds; Ctrl-C alone does not end it."""
    async with serving(Known()) as known:
        worker = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "loadtest.generate.worker"),
            cwd=ROOT,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        assert worker.stdin is not None
        assert worker.stdout is not None
        order = Order("0123456789ab", 0, known.url, Scenario(users=2, connect_rate=100))
        worker.stdin.write(line(Command(order=order)))
        async with asyncio.timeout(PATIENCE_S):
            assert json.loads(await worker.stdout.readline()) == {"ready": {"joined": 2, "failures": {}}}
            worker.send_signal(signal.SIGINT)
            await asyncio.sleep(0.5)
            assert worker.returncode is None
            worker.stdin.close()
            await worker.communicate()
        assert worker.returncode == 1


async def test_a_worker_explains_an_impossible_order() -> None:
    """In one sentence."""
    worker = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "loadtest.generate.worker"),
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    order = Order("0123456789ab", 0, "http://127.0.0.1", Scenario())
    said, _ = await asyncio.wait_for(worker.communicate(line(Command(order=order))), PATIENCE_S)
    assert json.loads(said) == {"failed": "http://127.0.0.1 is not a ws:// or wss:// URL"}
    assert worker.returncode == 1


async def test_a_failed_start_of_a_child_quotes_it(tmp_path: Path) -> None:
    """The last line of its stderr is the reason; the file has all of it."""
    errors = tmp_path / "logs" / "child.err"
    complaint = (sys.executable, "-c", "import sys; sys.exit('first line\\nno such thing')")
    with pytest.raises(LoadTestError, match="did not start: no such thing"):
        async with child(*complaint, stop_by=signal.SIGTERM, errors=errors):
            pass
    assert errors.read_text() == "first line\nno such thing\n"


async def test_a_child_that_won_t_stop_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing outlives the command, even if it ignores its signal."""
    monkeypatch.setattr("loadtest.control.children.STOP_TIMEOUT_S", 0.2)
    stubborn = (
        "import os, signal, time; signal.signal(15, signal.SIG_IGN); "
        "print(os.getpid(), flush=True); time.sleep(99)"
    )
    started = child(sys.executable, "-c", stubborn, stop_by=signal.SIGTERM, errors=tmp_path / "err")
    async with started as line:
        process_id = int(line)
    with pytest.raises(ProcessLookupError):
        os.kill(process_id, 0)


async def test_the_command_writes_its_results(tmp_path: Path) -> None:
    """Its summary, and JSON, CSV and HTML; exit code 0 if the condition holds."""
    files = {form: tmp_path / f"run.{form}" for form in ("json", "csv", "html")}
    async with (
        serving(Known()) as known,
        command(
            *("run", f"{known.url}?key=key-77c1", "-u", "5", "-t", "2s", "--rate", "40", "--warmup", "0"),
            *("--drain", "500ms", "--calibrate", "0", "--threshold", "ledger:lost==0", "--label", "known"),
            *("--token-command", "echo tok-5f3a"),
            *(part for form, path in files.items() for part in (f"--{form}", str(path))),
        ) as process,
    ):
        output, errors = await asyncio.wait_for(process.communicate(), PATIENCE_S)
    assert process.returncode == 0, errors
    assert b"held    ledger:lost==0" in output
    assert b"verdict: pass" in output
    assert b"delivered" in errors
    result = Result.from_json(files["json"].read_bytes())
    assert result.command[:2] == ("run", known.url)
    assert known.subprotocols == ["groupcast.v1, bearer.tok-5f3a"] * 5
    for text in (output, errors, *(path.read_bytes() for path in files.values())):
        assert b"key-77c1" not in text
        assert b"tok-5f3a" not in text
    assert result.target.label == "known"
    assert result.ledger.received == 5 * known.messages
    assert len(files["csv"].read_text().splitlines()) == 1 + len(result.series)
    assert "known" in files["html"].read_text()


async def test_a_broken_condition_is_exit_3() -> None:
    """The command names the value."""
    async with (
        serving(Known(drop_every=7)) as known,
        command(
            *("run", known.url, "-u", "5", "-t", "1s", "--rate", "40", "--warmup", "0", "--drain", "500ms"),
            *("--calibrate", "0", "--headless"),
        ) as process,
    ):
        output, errors = await asyncio.wait_for(process.communicate(), PATIENCE_S)
    assert process.returncode == 3
    assert f"broken  ledger:lost==0  (it was {known.dropped})".encode() in output
    assert errors == b""


async def test_ctrl_c_drains_writes_and_ends_with_130(tmp_path: Path) -> None:
    """Interrupted, the command still reports its results."""
    path = tmp_path / "run.json"
    async with (
        serving(Known()) as known,
        command(
            *("run", known.url, "-u", "5", "-t", "10m", "--rate", "40", "--drain", "500ms"),
            *("--calibrate", "0", "--json", str(path)),
        ) as process,
    ):
        await true_in_time(lambda: known.messages >= 20)
        process.send_signal(signal.SIGINT)
        output, _ = await asyncio.wait_for(process.communicate(), PATIENCE_S)
    assert process.returncode == 130
    assert b"verdict: interrupted" in output
    result = Result.from_json(path.read_bytes())
    assert result.ledger.received == result.ledger.expected == 5 * known.messages


async def test_a_second_ctrl_c_ends_it_at_once() -> None:
    """Without waiting for the drain."""
    async with (
        serving(Known()) as known,
        command(
            *("run", known.url, "-u", "5", "-t", "10m", "--rate", "40", "--drain", "10m", "--calibrate", "0")
        ) as process,
    ):
        await true_in_time(lambda: known.messages > 0)
        process.send_signal(signal.SIGINT)
        await asyncio.sleep(0.3)
        process.send_signal(signal.SIGINT)
        await asyncio.wait_for(process.communicate(), PATIENCE_S)
        assert process.returncode == 130
        await true_in_time(lambda: not any(known._members.values()))


async def test_no_server_ends_with_a_sentence() -> None:
    """Exit code 1, and no traceback; tests/unit/loadtest/test_cli.py has wrong usage."""
    async with command("run", "ws://127.0.0.1:1", "-u", "1", "--calibrate", "0") as process:
        _, errors = await asyncio.wait_for(process.communicate(), PATIENCE_S)
    assert process.returncode == 1
    assert b"no user could join: can't connect" in errors
    assert b"Traceback" not in errors


@pytest.mark.stack
@pytest.mark.timeout(120)
async def test_a_run_starts_its_own_cloud(tmp_path: Path) -> None:
    """Without a URL it measures the chat itself: nothing is lost, and the report has the parts of latency."""
    path = tmp_path / "run.json"
    async with command(
        *("run", "-u", "10", "-r", "20", "-t", "4s", "--rate", "10", "--warmup", "1s", "--drain", "2s"),
        *("--calibrate", "1s", "--json", str(path)),
    ) as process:
        output, errors = await asyncio.wait_for(process.communicate(), 100)
    assert process.returncode in {0, 4}, (output, errors)
    result = Result.from_json(path.read_bytes())
    assert result.target.kind == "local"
    assert result.ledger.expected == 10 * result.ledger.sent > 0
    assert result.ledger.lost == result.ledger.duplicate == 0
    assert result.health.floor_ms is not None
    counts = [way.parts[0].times.count for way in result.where]
    assert sum(counts) == sum(group.messages for group in result.groups) > 0
