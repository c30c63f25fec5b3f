"""Writes reproducible zip files: their bytes depend only on names, contents and the version of zlib."""

from __future__ import annotations

import os
import stat
import zipfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

# The earliest time that a zip file can store.
_MODIFIED = (1980, 1, 1, 0, 0, 0)
# Lambda runs functions as a user who does not own the files: everyone may read.
_MODE = stat.S_IFREG | 0o644
_UNIX = 3


def write_zip(tree: Path, output: Path) -> None:
    """Zip the files of `tree`, sorted by name, and replace `output` atomically."""
    output.parent.mkdir(parents=True, exist_ok=True)
    unfinished = output.with_name(f"{output.name}.{os.getpid()}")
    try:
        with zipfile.ZipFile(unfinished, "w", zipfile.ZIP_DEFLATED) as archive:
            for name in sorted(files_of(tree)):
                info = zipfile.ZipInfo(name, _MODIFIED)
                info.create_system = _UNIX
                info.external_attr = _MODE << 16
                archive.writestr(info, (tree / name).read_bytes(), zipfile.ZIP_DEFLATED)
        unfinished.replace(output)
    finally:
        unfinished.unlink(missing_ok=True)


def files_of(tree: Path) -> list[str]:
    """The paths of all files below `tree`, relative to it, with slashes."""
    return [path.relative_to(tree).as_posix() for path in tree.rglob("*") if path.is_file()]
