"""The functions' log, in the parent and in the functions. A full disk costs log lines and nothing else."""

from __future__ import annotations

import io
import logging
import os
import sys
from typing import IO, TYPE_CHECKING, Any, TextIO

from localcloud.errors import StartError

if TYPE_CHECKING:
    from pathlib import Path

    from _typeshed import ReadableBuffer

log = logging.getLogger(__name__)


class Log:
    """The functions' output: the file at `path`, or this process's stdout and stderr (None)."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._warned = False
        # Passed to child processes; None: they inherit stdout and stderr.
        self.output: IO[bytes] | None = None

    def open(self) -> None:
        """StartError if the file cannot be opened."""
        if self._path is not None:
            try:
                self.output = self._path.open("ab", buffering=0)
            except OSError as error:
                raise StartError(f"cannot write the functions' log: {error}") from error

    def close(self) -> None:
        if self.output is not None:
            self.output.close()

    def write(self, line: str) -> None:
        """Write a line for a function that cannot do so itself."""
        if self.output is None:
            sys.stderr.write(line)
            return
        try:
            self.output.write(line.encode())
        except OSError as error:
            self.lost(os.strerror(error.errno or 0))

    def lost(self, reason: str) -> None:
        """Warn of lost lines, once."""
        if not self._warned:
            self._warned = True
            log.warning(
                "cannot write the functions' log %s: %s. Its lines are lost until that changes",
                self._path or "on stdout",
                reason,
            )


class LossyStream(io.RawIOBase):
    """A process's stdout or stderr that drops output while the disk is full."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._is_torn = False
        # The reason for lost output, until `take_error`.
        self._error: str | None = None

    def write(self, data: ReadableBuffer, /) -> int:
        rest = memoryview(data).cast("B")
        size = len(rest)
        try:
            if self._is_torn:
                os.write(self._descriptor, b"\n")
                self._is_torn = False
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
        except OSError as error:
            self._error = os.strerror(error.errno or 0)
            self._is_torn = self._is_torn or len(rest) < size
        return size

    def take_error(self) -> str | None:
        """Return the reason for lines lost since the last call; None if none were lost."""
        error, self._error = self._error, None
        return error

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._descriptor


def survive_full_disks() -> None:
    """Make this process's stdout and stderr drop lines instead of raising OSError."""
    sys.stdout, sys.stderr = _lossy(sys.stdout), _lossy(sys.stderr)


def _lossy(stream: TextIO) -> TextIO:
    # Unbuffered, as with python -u, so that no buffered output fails later.
    raw: Any = LossyStream(stream.fileno())
    # Write whole lines, even if the process is killed or several processes share the file.
    return io.TextIOWrapper(raw, encoding=stream.encoding, errors=stream.errors, line_buffering=True)


def take_error() -> str | None:
    """Return the reason for lines this process lost since the last call; None if it lost none."""
    streams = [getattr(stream, "buffer", None) for stream in (sys.stdout, sys.stderr)]
    errors = [stream.take_error() for stream in streams if isinstance(stream, LossyStream)]
    return next(filter(None, errors), None)
