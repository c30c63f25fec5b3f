"""A folder of tables whose owner died."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from localcloud.backends.datafolder import locked
from localcloud.errors import StartError


def test_a_process_that_dies_lets_go(tmp_path: Path) -> None:
    """However the owner died."""
    code = (
        "import os, pathlib, sys\n"
        "from localcloud.backends.datafolder import locked\n"
        "with locked(pathlib.Path(sys.argv[1])):\n"
        "    print('claimed', flush=True)\n"
        "    sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"claimed\n"
        with pytest.raises(StartError, match="is in use"), locked(tmp_path):
            pass
        process.kill()
    with locked(tmp_path):
        pass
