"""The folder of `--data`: made where it is missing, and used by one `groupcast up` at a time."""

from __future__ import annotations

import fcntl
from contextlib import contextmanager
from typing import TYPE_CHECKING

from localcloud.errors import StartError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LOCK_NAME = ".groupcast.lock"


@contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Keep the folder from others meanwhile. StartError where another process has it, or it can't be used.

    The kernel releases the lock when this process ends, however it ends. The file stays: without it two
    processes could each lock one of that name.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / LOCK_NAME).open("wb")
    except OSError as error:
        raise StartError(f"--data: {folder} cannot be used: {error.strerror}") from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StartError(
                f"the folder {folder} is in use by another `groupcast up`: "
                "stop it, or choose another folder with --data"
            ) from None
        except OSError as error:
            raise StartError(f"--data: {folder} cannot be locked: {error.strerror}") from None
        yield
