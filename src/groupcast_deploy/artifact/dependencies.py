"""Installs the runtime dependencies of pyproject.toml for the target, as requirements.lock pins them."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING

from uv import find_uv_bin

from groupcast_deploy.artifact.errors import ArtifactError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from groupcast_deploy.artifact.target import Target

# A first build downloads 40 MB.
UV_TIMEOUT_S = 300
_PIN = re.compile(r"^([a-z0-9-]+==[^\s;\\]+)", re.MULTILINE)


def install(root: Path, target: Target, scratch: Path, tree: Path) -> None:
    """Install into `tree`, wheels only, each checked against its hash in requirements.lock.

    The files may be links into uv's cache: replace them, never write to them. `scratch` is a folder for
    temporary files. ArtifactError if uv fails or the lock is stale.
    """
    lock = root / "requirements.lock"
    python = ["--python-version", target.python, "--python-platform", target.platform]
    shown = _uv(
        "pip", "compile", root / "pyproject.toml", "-c", lock, "--no-header", "--no-annotate", *python
    )
    wanted = scratch / "runtime.lock"
    wanted.write_text(pinned(lock.read_text(), _PIN.findall(shown)))
    checked = ["--no-deps", "--require-hashes", "--only-binary", ":all:"]
    _uv("pip", "install", "--target", tree, *checked, *python, "-r", wanted)


def pinned(lock: str, pins: Iterable[str]) -> str:
    """The lock file's entries (`name==version` and hashes) for `pins`; ArtifactError if one is missing."""
    entries: dict[str, list[str]] = {}
    entry: list[str] = []
    for line in lock.splitlines():
        if pin := _PIN.match(line):
            entry = entries.setdefault(pin[1], [])
        entry.append(line)
    missing = [pin for pin in pins if pin not in entries]
    if missing:
        raise ArtifactError(f"requirements.lock has no {', '.join(missing)}: run make lock")
    return "\n".join(line for pin in pins for line in entries[pin]) + "\n"


def _uv(*arguments: str | Path) -> str:
    # Try uv's cache first, so that a second build works without a network.
    done = _run("--offline", *arguments)
    if done.returncode:
        done = _run(*arguments)
    if done.returncode:
        raise ArtifactError(f"uv {arguments[0]} {arguments[1]} failed: {' '.join(done.stderr.split())[:500]}")
    return done.stdout


def _run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(  # noqa: S603 - the uv of this environment
            [find_uv_bin(), "--color", "never", *arguments],
            capture_output=True,
            text=True,
            timeout=UV_TIMEOUT_S,
            check=False,
        )
    except FileNotFoundError:
        raise ArtifactError("uv is missing: run make setup") from None
    except subprocess.TimeoutExpired:
        raise ArtifactError(f"uv took longer than {UV_TIMEOUT_S} s") from None
