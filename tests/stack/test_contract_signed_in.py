"""The contract holds for signed-in users as for guests."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.conftest import ROOT, Stack

pytestmark = pytest.mark.stack


@pytest.mark.timeout(120)
def test_the_contract_suite_passes_with_a_token(cognito_stack: Stack) -> None:
    """Run as `make contract URL=… TOKEN=…` against an own stage."""
    environment = {
        **os.environ,
        "GROUPCAST_URL": cognito_stack.gateway_url,
        "GROUPCAST_MANAGEMENT_URL": cognito_stack.management_url,
        "GROUPCAST_TOKEN": cognito_stack.token("ann"),
        "AWS_ACCESS_KEY_ID": "localcloud",
        "AWS_SECRET_ACCESS_KEY": "localcloud",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    chat = [f"tests/contract/test_{name}.py" for name in ("chat", "handshake")]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *chat]
    done = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "skipped" not in done.stdout
