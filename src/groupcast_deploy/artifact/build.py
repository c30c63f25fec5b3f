"""Builds the zip file: installs the locked dependencies, adds groupcast, prunes, compiles and packs.

The build is reproducible: equal inputs (including the compiling Python and zlib) give equal bytes.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from groupcast_deploy.artifact.archive import files_of, write_zip
from groupcast_deploy.artifact.bytecode import compile_tree, find_interpreter
from groupcast_deploy.artifact.dependencies import install
from groupcast_deploy.artifact.elf import without_debug
from groupcast_deploy.artifact.errors import ArtifactError
from groupcast_deploy.artifact.pruning import ENDPOINTS, is_needed, without_other_services

if TYPE_CHECKING:
    from collections.abc import Callable

    from groupcast_deploy.artifact.bytecode import Interpreter
    from groupcast_deploy.artifact.target import Target

# A file in the artifact that describes its inputs, so that the next build can tell whether it is up to date.
LABEL = "groupcast-build.json"
# https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
UNZIPPED_LIMIT_BYTES = 250 * 1024 * 1024
_INPUTS = ("pyproject.toml", "requirements.lock")
_DEPLOYED = Path("src", "groupcast")


@dataclass(frozen=True, slots=True)
class Artifact:
    """A zip file; `bytecode` is the version of the Python that compiled it, or None without bytecode.

    `built` is false if the file already existed, with the same inputs.
    """

    path: Path
    built: bool
    zipped_bytes: int
    unzipped_bytes: int
    bytecode: str | None


def build(
    root: Path, target: Target, output: Path, on_step: Callable[[str], None] = lambda _: None
) -> Artifact:
    """Build `output` from the checkout at `root`, unless it is up to date. Raises ArtifactError.

    `on_step` gets the name of each step when it begins.
    """
    _check_root(root)
    interpreter = find_interpreter(target.python)
    label = _label(root, target, interpreter)
    built = _label_in(output) != label
    if built:
        with tempfile.TemporaryDirectory(prefix="groupcast-") as scratch:
            tree = Path(scratch, "tree")
            on_step("installing dependencies (the first time 40 MB, half a minute)")
            install(root, target, Path(scratch), tree)
            on_step("removing files that Lambda does not need")
            shutil.copytree(root / _DEPLOYED, tree / _DEPLOYED.name)
            _reduce(tree)
            (tree / LABEL).write_bytes(label)
            if interpreter:
                on_step(f"compiling with Python {interpreter.version}")
                compile_tree(interpreter, tree)
            on_step(f"packing {output}")
            write_zip(tree, output)
    return _described(output, interpreter, built=built)


def _check_root(root: Path) -> None:
    for name in (*_INPUTS, str(_DEPLOYED)):
        if not (root / name).exists():
            raise ArtifactError(f"there is no {name} here: run this in groupcast's own folder")


def _label(root: Path, target: Target, interpreter: Interpreter | None) -> bytes:
    """The inputs of the artifact, including this code."""
    digest = hashlib.sha256()
    ours = Path(__file__).parent
    paths = [root / name for name in _INPUTS]
    paths += [
        root / _DEPLOYED / name for name in sorted(files_of(root / _DEPLOYED)) if "__pycache__" not in name
    ]
    paths += sorted(ours.glob("*.py"))
    for path in paths:
        name = path.relative_to(ours if path.is_relative_to(ours) else root).as_posix()
        data = path.read_bytes()
        digest.update(f"{name} {len(data)}\n".encode())
        digest.update(data)
    described = {
        "runtime": target.runtime,
        "architecture": target.architecture,
        "bytecode": interpreter.version if interpreter else None,
        "inputs": digest.hexdigest(),
    }
    return json.dumps(described, indent=2).encode()


def _label_in(output: Path) -> bytes | None:
    try:
        with zipfile.ZipFile(output) as archive:
            return archive.read(LABEL)
    except (OSError, KeyError, zipfile.BadZipFile):
        return None


def _reduce(tree: Path) -> None:
    for name in files_of(tree):
        path = tree / name
        if not is_needed(PurePosixPath(name)):
            path.unlink()
        elif PurePosixPath(name) == ENDPOINTS:
            endpoints = path.read_bytes()
            path.unlink()
            path.write_bytes(without_other_services(endpoints))
        elif path.suffix == ".so":
            library = path.read_bytes()
            path.unlink()
            path.write_bytes(without_debug(library))


def _described(output: Path, interpreter: Interpreter | None, *, built: bool) -> Artifact:
    with zipfile.ZipFile(output) as archive:
        unzipped_bytes = sum(info.file_size for info in archive.infolist())
    if unzipped_bytes > UNZIPPED_LIMIT_BYTES:
        raise ArtifactError(
            f"{output} has {unzipped_bytes} bytes unzipped; Lambda allows {UNZIPPED_LIMIT_BYTES}"
        )
    return Artifact(
        output, built, output.stat().st_size, unzipped_bytes, interpreter.version if interpreter else None
    )
