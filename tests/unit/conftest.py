"""Shared by all unit tests."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from blockbuster import blockbuster_ctx

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

HERE = Path(__file__).parent
# Audit events of Python. multiprocessing with spawn or forkserver raises none; nothing here uses it.
STARTS = frozenset({"subprocess.Popen", "os.fork", "os.forkpty", "os.posix_spawn", "os.exec", "os.system"})


class ProcessGuard:
    """Ends an attempt to start a process while a unit test or one of its fixtures runs."""

    def __init__(self) -> None:
        self.is_armed = False
        self.attempts: list[str] = []

    def __call__(self, event: str, arguments: tuple[object, ...]) -> None:
        """Called by Python for each audit event; a hook can't be removed again."""
        if self.is_armed and event in STARTS:
            self.attempts.append(f"{event}{arguments[:2]}")
            raise RuntimeError(f"a unit test started a process: move it to tests/stack ({event})")


GUARD = ProcessGuard()
sys.addaudithook(GUARD)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Shared fixtures count, too: the first test that asks for one sets it up."""
    GUARD.is_armed = item.path.is_relative_to(HERE)
    try:
        return (yield)
    finally:
        GUARD.is_armed = False


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown() -> Generator[None, object, object]:
    """Fails the test even if its code caught the guard's error."""
    result = yield
    attempts = GUARD.attempts.copy()
    GUARD.attempts.clear()
    assert not attempts, attempts
    return result


@pytest.fixture(autouse=True)
def no_blocking_calls() -> Iterator[None]:
    """Fail deployed code and the client if they block the event loop (a sleep, a file)."""
    with blockbuster_ctx(
        ["groupcast", "groupcast_client"], excluded_modules=["groupcast_cli", "groupcast_deploy"]
    ):
        yield
