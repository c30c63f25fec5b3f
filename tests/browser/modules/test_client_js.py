"""The page's modules, tested by node's own test runner."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
TIMEOUT_S = 50
# The page's files need no package.json to be modules; node says so each time.
QUIET = "--disable-warning=MODULE_TYPELESS_PACKAGE_JSON"


@pytest.mark.parametrize("module", sorted(path.name for path in HERE.glob("*.test.mjs")))
def test_the_pages_modules(module: str) -> None:
    """Every test in the module passes."""
    beside_python = Path(sys.executable).with_name("node")
    node = str(beside_python) if beside_python.exists() else shutil.which("node")
    assert node is not None, "there is no node: make setup brings it"
    done = subprocess.run(
        [node, QUIET, "--test", "--test-reporter=spec", str(HERE / module)],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
