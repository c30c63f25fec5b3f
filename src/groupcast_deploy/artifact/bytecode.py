"""Bytecode for the artifact: /var/task is read-only, so without it every cold start compiles its imports.

Only an interpreter of the runtime's version (3.13 for python3.13) writes bytecode that the runtime accepts.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from groupcast_deploy.artifact.errors import ArtifactError

if TYPE_CHECKING:
    from collections.abc import Iterator

TASK_ROOT = "/var/task"
ANSWER_TIMEOUT_S = 10
COMPILE_TIMEOUT_S = 120
_VERSION = "import sys; print(sys.implementation.name, '.'.join(map(str, sys.version_info[:3])))"


@dataclass(frozen=True, slots=True)
class Interpreter:
    """A CPython on this machine, and its full version, such as 3.13.0."""

    path: Path
    version: str


def find_interpreter(python: str) -> Interpreter | None:
    """A CPython of this version (3.13 for example): the current one, or from PATH, uv or pyenv; or None."""
    for path in _candidates(python):
        version = _version_of(path)
        if version and version.startswith(f"{python}."):
            return Interpreter(path, version)
    return None


def compile_tree(interpreter: Interpreter, tree: Path) -> None:
    """Compile every module of `tree`; tracebacks name the file in Lambda. Raises ArtifactError.

    `unchecked-hash` bytecode contains no timestamp and is never compared with its source, as zip files need.
    """
    command: list[str | Path] = [
        interpreter.path,
        "-I",
        "-S",
        "-m",
        "compileall",
        "-q",
        "--invalidation-mode",
        "unchecked-hash",
    ]
    done = subprocess.run(  # noqa: S603 - the interpreter reported its version
        [*command, "-s", tree, "-p", TASK_ROOT, tree],
        env={**os.environ, "PYTHONHASHSEED": "0"},
        capture_output=True,
        text=True,
        timeout=COMPILE_TIMEOUT_S,
        check=False,
    )
    if done.returncode:
        raise ArtifactError(
            f"Python {interpreter.version} cannot compile: {' '.join(done.stdout.split())[:300]}"
        )


def _candidates(python: str) -> Iterator[Path]:
    yield Path(sys.executable)
    for folder in os.get_exec_path():
        yield Path(folder, f"python{python}")
    # uv and pyenv install outside PATH; pyenv's shims in PATH run only the version chosen for the folder.
    data = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    installed = Path(os.environ.get("UV_PYTHON_INSTALL_DIR") or data / "uv" / "python")
    yield from sorted(installed.glob(f"cpython-{python}.*/bin/python{python}"))
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    yield from sorted(pyenv.glob(f"versions/{python}.*/bin/python{python}"))


def _version_of(path: Path) -> str | None:
    if not os.access(path, os.X_OK):
        return None
    try:
        done = subprocess.run(  # noqa: S603 - the user's own PATH
            [path, "-I", "-S", "-c", _VERSION],
            capture_output=True,
            text=True,
            timeout=ANSWER_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    name, _, version = done.stdout.strip().partition(" ")
    return version if done.returncode == 0 and name == "cpython" else None
