"""The functions' log, from both ends. A full disk costs lines of it, and nothing else."""

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
    """Where functions write: the file at `path`, or this process's stdout and stderr (None)."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._warned = False
        # For child processes; None: they inherit stdout and stderr.
        self.output: IO[bytes] | None = None

    def open(self) -> None:
        """StartError where the file cannot be opened."""
        if self._path is not None:
            try:
                self.output = self._path.open("ab", buffering=0)
            except OSError as error:
                raise StartError(f"cannot write the functions' log: {error}") from error

    def close(self) -> None:
        if self.output is not None:
            self.output.close()

    def write(self, line: str) -> None:
        """Write a line on behalf of a function."""
        if self.output is None:
            sys.stderr.write(line)
            return
        try:
            self.output.write(line.encode())
        except OSError as error:
            self.lost(os.strerror(error.errno or 0))

    def lost(self, reason: str) -> None:
        """Warn, the first time, that lines are missing."""
        if not self._warned:
            self._warned = True
            log.warning(
                "cannot write the functions' log %s: %s. Its lines are lost until that changes",
                self._path or "on stdout",
                reason,
            )


class LossyStream(io.RawIOBase):
    """A process's stdout or stderr that loses what cannot be written, for as long as that lasts."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._is_torn = False
        # Why something was lost, until `take_error`.
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
        """Why lines were lost since the last call; None: none were."""
        error, self._error = self._error, None
        return error

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._descriptor


def survive_full_disks() -> None:
    """Let this process's stdout and stderr lose lines instead of raising OSError."""
    sys.stdout, sys.stderr = _lossy(sys.stdout), _lossy(sys.stderr)


def _lossy(stream: TextIO) -> TextIO:
    # Without a buffer between, as with python -u, so that nothing is kept to fail later.
    raw: Any = LossyStream(stream.fileno())
    # Whole lines, even when the process is killed and several write to one file.
    return io.TextIOWrapper(raw, encoding=stream.encoding, errors=stream.errors, line_buffering=True)


def take_error() -> str | None:
    """Why this process lost lines since the last call; None: it lost none."""
    streams = [getattr(stream, "buffer", None) for stream in (sys.stdout, sys.stderr)]
    errors = [stream.take_error() for stream in streams if isinstance(stream, LossyStream)]
    return next(filter(None, errors), None)
