"""Who may import whom, and what a cold start of the fan-out does without."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

SRC = ROOT / "src"
# From the bottom up: each may import what stands before it.
LAYERS = [
    "errors",
    "model",
    "slots",
    "protocol",
    "unicode_tables",
    "names",
    "auth",
    "ratelimit",
    "settings",
    "loading",
    "aws",
    "tokens",
    "tables",
    "holes",
    "fanout",
    "chat",
    "runtime",
]


def imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("path", sorted((SRC / "groupcast").rglob("*.py")), ids=lambda path: path.stem)
def test_what_is_deployed_imports_nothing_else_of_ours(path: Path) -> None:
    """The artifact holds src/groupcast alone."""
    assert not [
        name
        for name in imported(path)
        if name.split(".")[0] in {"groupcast_deploy", "localcloud", "loadtest", "tests"}
    ]


@pytest.mark.parametrize("path", sorted((SRC / "localcloud").rglob("*.py")), ids=lambda path: path.stem)
def test_the_local_cloud_knows_functions_only_by_name(path: Path) -> None:
    """It meets them through serverless.yml, as AWS does."""
    assert not [name for name in imported(path) if name.split(".")[0] == "groupcast"]


@pytest.mark.parametrize("path", sorted((SRC / "groupcast").rglob("*.py")), ids=lambda path: path.stem)
def test_imports_run_downwards(path: Path) -> None:
    """A layer knows those below it, never one above; handlers stand on top."""
    layer = path.relative_to(SRC / "groupcast").parts[0].removesuffix(".py")
    allowed = LAYERS if layer not in LAYERS else LAYERS[: LAYERS.index(layer) + 1]
    used = {name.split(".")[1] for name in imported(path) if name.startswith("groupcast.")}
    assert used <= {*allowed, layer}


def test_a_cold_fan_out_loads_no_sdk() -> None:
    """boto and aiohttp are most of a cold start; the function that must be fast does without them."""
    code = (
        "import sys, groupcast.handlers.fanout_message, groupcast.aws.management, groupcast.fanout.service\n"
        "print(sorted({'boto3', 'botocore.session', 'aioboto3', 'aiohttp'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"
