"""How other commands find a running `groupcast up`: a small file below build/, by the gateway's port.

The kernel holds a lock on it as long as `up` lives, however it ends; a file without the lock is stale.
"""

from __future__ import annotations

import fcntl
import json
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

BUILD_DIR = "build"


def run_path(root: Path, gateway_port: int) -> Path:
    """The path of the file of the `up` with this gateway."""
    return root / BUILD_DIR / f"up-{gateway_port}.json"


@contextmanager
def published(root: Path, gateway_port: int, state: Mapping[str, Any]) -> Iterator[None]:
    """Publish `state` meanwhile, for this user alone: it may hold passwords."""
    path = run_path(root, gateway_port)
    path.parent.mkdir(parents=True, exist_ok=True)
    # Locked and complete before it has the name that others look for.
    draft = path.with_suffix(f".{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        os.write(descriptor, json.dumps(state).encode())
        draft.replace(path)
        yield
    finally:
        draft.unlink(missing_ok=True)
        path.unlink(missing_ok=True)
        os.close(descriptor)


def read_published(root: Path, gateway_port: int) -> dict[str, Any] | None:
    """The state of the `up` with this gateway; None if it does not run."""
    try:
        with run_path(root, gateway_port).open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                state: dict[str, Any] = json.load(file)
                return state
    except FileNotFoundError:
        pass
    return None
