"""The contract suite in a process of its own, as `make contract` runs it."""

from __future__ import annotations

import os
import subprocess
import sys

from localcloud.service.model import REGION
from tests.deploy.emulator import ROOT, ROOT_KEYS
from tests.deploy.project import Stage


def run_contract(stage: Stage, *options: str) -> subprocess.CompletedProcess[str]:
    """Run tests/contract/, or the tests that `options` name, against a deployed stage."""
    environment = {
        **os.environ,
        **ROOT_KEYS,
        "AWS_DEFAULT_REGION": REGION,
        "GROUPCAST_URL": stage.url,
        "GROUPCAST_MANAGEMENT_URL": stage.management_url,
    }
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options]
    return subprocess.run(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, timeout=150, check=False
    )
