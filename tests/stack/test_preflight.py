"""`make contract` without a URL."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.conftest import ROOT


def test_the_command_stops_before_the_suite() -> None:
    """With exit code 2, and that sentence alone."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("GROUPCAST_")}
    done = subprocess.run(
        [sys.executable, "-m", "tests.contract"],
        cwd=ROOT,
        env=ours,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("make contract: the stage's URL is missing: ")
    assert done.stderr.count("\n") == 1
