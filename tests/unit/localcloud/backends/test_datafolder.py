"""A data folder belongs to one process at a time."""

from __future__ import annotations

from pathlib import Path

import pytest

from localcloud.backends.datafolder import locked
from localcloud.errors import StartError


def test_a_folder_is_created_and_locked_once(tmp_path: Path) -> None:
    """With its parents; free again afterwards."""
    folder = tmp_path / "a" / "b"
    for _ in range(2):
        with locked(folder):
            assert folder.is_dir()
            with pytest.raises(StartError, match=f"{folder} is in use"), locked(folder):
                pass


def test_a_file_is_not_a_folder(tmp_path: Path) -> None:
    """Nor is a path below one."""
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file" / "data"):
        with pytest.raises(StartError, match=f"{path} cannot be used"), locked(path):
            pass
