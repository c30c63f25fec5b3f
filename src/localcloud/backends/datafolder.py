"""The folder of `--data`: created if missing, and locked so that one `groupcast up` uses it at a time."""

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
def locked(folder: Path) -> Iterator[None]:
    """Lock the folder while the context is open. StartError if another process holds it or it is unusable.

    The kernel releases the lock when this process ends. The lock file stays: if it were deleted, two
    processes could lock different files of the same name.
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
