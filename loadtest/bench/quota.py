"""A control group that limits a process to a share of a CPU, if this machine allows creating one."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from loadtest.bench.function import limit

if TYPE_CHECKING:
    from collections.abc import Iterator

# cgroup v2, and v1's mount point of the cpu controller.
ROOTS = (Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup/cpu"))
EMPTY_TIMEOUT_S = 2.0


@contextlib.contextmanager
def control_group() -> Iterator[Path | None]:
    """Create a group and yield its folder, or None if that fails; remove it at the end."""
    folder = _made()
    try:
        yield folder
    finally:
        if folder is not None:
            _remove(folder)


def _made() -> Path | None:
    for root in ROOTS:
        folder = root / f"groupcast-bench-{os.getpid()}"
        try:
            if not (root / "cgroup.procs").exists():
                continue
            folder.mkdir()
        except OSError:
            continue
        try:
            limit(folder, 1.0)
        except OSError:
            folder.rmdir()
            continue
        return folder
    return None


def _remove(folder: Path) -> None:
    # The kernel may need a moment to remove the group's last process.
    give_up_at = time.monotonic() + EMPTY_TIMEOUT_S
    while True:
        try:
            folder.rmdir()
        except OSError:
            if time.monotonic() > give_up_at:
                raise
            time.sleep(0.01)
        else:
            return
