"""The artifact as Lambda gets it: real builds, from requirements.lock."""

from __future__ import annotations

import importlib.util
import json
import marshal
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from types import CodeType

import pytest

from groupcast_deploy.artifact import Target, build, elf
from groupcast_deploy.artifact.build import LABEL
from groupcast_deploy.artifact.bytecode import find_interpreter
from tests.conftest import ROOT
from tests.unit.groupcast_deploy.support import HOST_ARCHITECTURE, BuildFor, Built, Sources

# A first build downloads the wheels of each architecture.
pytestmark = pytest.mark.timeout(300)

# Measured 12.4 to 12.8 and 35.7 to 36.3 MB; Lambda takes 50 and 250.
ZIPPED_LIMIT_BYTES = 14_000_000
UNZIPPED_LIMIT_BYTES = 40_000_000
MACHINES = {"arm64": elf.AARCH64, "x86_64": elf.X86_64}
UNCHECKED_HASH = b"\x01\x00\x00\x00"

# All of groupcast and what it imports only when called; the client that needs botocore's pruned data.
EVERYTHING = """
import asyncio, importlib, pathlib, sys
task = sys.argv[1]
sys.path.insert(0, task)
for path in sorted(pathlib.Path(task, "groupcast").rglob("*.py")):
    importlib.import_module(".".join(path.relative_to(task).with_suffix("").parts).removesuffix(".__init__"))
import aioboto3, jwt, uvloop

async def describe():
    async with aioboto3.Session().client("dynamodb", region_name="eu-central-1") as dynamodb:
        return [dynamodb.meta.endpoint_url, len(dynamodb.exceptions.ResourceNotFoundException.__mro__) > 1]

print(jwt.get_algorithm_by_name("RS256").__class__.__name__, *asyncio.run(describe()))
"""


def names_in(built: Built) -> list[str]:
    with zipfile.ZipFile(built.archive) as archive:
        return archive.namelist()


def test_it_is_small(built: Built) -> None:
    """A cold start fetches and unpacks it: the data of other services and debug data are out."""
    with zipfile.ZipFile(built.archive) as archive:
        unzipped_bytes = sum(info.file_size for info in archive.infolist())
    assert built.archive.stat().st_size < ZIPPED_LIMIT_BYTES
    assert unzipped_bytes < UNZIPPED_LIMIT_BYTES


def test_every_library_is_for_the_architecture(built: Built, target: Target) -> None:
    """A wheel of the machine that builds would fail at the first import on Lambda."""
    libraries = [path for path in built.folder.rglob("*") if ".so" in path.suffixes]
    assert {path.name.split(".")[0] for path in libraries} >= {"_rust", "loop", "orjson", "parser"}
    assert {elf.machine(path.read_bytes()) for path in libraries} == {MACHINES[target.architecture]}


def test_equal_sources_give_equal_bytes(build_for: BuildFor, sources: Sources, tmp_path: Path) -> None:
    """Neither time, nor the folder, nor the order of files on disk is in it: no change, no deployment."""
    elsewhere = sources("a-folder-of-another-name")
    for path in elsewhere.rglob("*"):
        os.utime(path, (1_000_000_000, 1_000_000_000))
    build(elsewhere, Target(), tmp_path / "again.zip")
    assert (tmp_path / "again.zip").read_bytes() == build_for(Target()).archive.read_bytes()


def test_only_groupcast_and_its_locked_dependencies_go_in(built: Built) -> None:
    """No test, tool, local cloud or unused AWS service is deployed, and no version but the lock's."""
    names = names_in(built)
    tops = {name.split("/")[0] for name in names}
    pins = set(re.findall(r"^(\S+)==(\S+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE))
    installed = [top.removesuffix(".dist-info").split("-") for top in tops if top.endswith(".dist-info")]
    assert {(name.replace("_", "-"), version) for name, version in installed} <= pins
    assert {"groupcast", "aioboto3", "jwt", LABEL} <= tops
    assert not tops & {
        "bin",
        "pip",
        "localcloud",
        "groupcast_client",
        "groupcast_deploy",
        "moto",
        "pytest",
        "uv",
    }
    assert not [name for name in names if {"tests", "examples"} & set(name.split("/"))]
    assert not [name for name in names if name.endswith((".pyx", ".pyi", ".h", ".js", "RECORD"))]
    assert {name.split("/")[2] for name in names if re.match(r"boto(core|3)/data/\w+/", name)} == {"dynamodb"}


def test_whoever_scans_it_finds_versions_and_licences(built: Built) -> None:
    """METADATA of every package is there, and a licence of most: some wheels have none."""
    names = names_in(built)
    packages = {name.split("/")[0] for name in names if ".dist-info/" in name}
    assert packages == {name.split("/")[0] for name in names if name.endswith(".dist-info/METADATA")}
    assert len([name for name in names if re.search(r"dist-info/.*LICENSE", name)]) > len(packages) / 2


def test_its_files_are_readable_by_all_and_have_no_time_of_their_own(built: Built) -> None:
    """Lambda runs as a user who owns nothing."""
    with zipfile.ZipFile(built.archive) as archive:
        infos = archive.infolist()
    assert {info.external_attr >> 16 for info in infos} == {0o100644}
    assert {info.date_time for info in infos} == {(1980, 1, 1, 0, 0, 0)}
    assert [info.filename for info in infos] == sorted(info.filename for info in infos)


def test_every_module_has_bytecode_that_is_never_compared_with_its_source(
    build_for: BuildFor, here: Target
) -> None:
    """And its tracebacks name the file where Lambda has it, not where it was built."""
    built = build_for(here)
    modules = list(built.folder.rglob("*.py"))
    for module in modules:
        data = Path(importlib.util.cache_from_source(str(module))).read_bytes()
        assert data[:8] == importlib.util.MAGIC_NUMBER + UNCHECKED_HASH
        code = marshal.loads(data[16:])  # noqa: S302 - we have made it
        assert isinstance(code, CodeType)
        assert code.co_filename == f"/var/task/{module.relative_to(built.folder).as_posix()}"
    assert len(modules) > 500


def test_it_says_what_it_is(built: Built, target: Target) -> None:
    """Who finds the zip knows the runtime and architecture it is for."""
    label = json.loads((built.folder / LABEL).read_text())
    assert (label["runtime"], label["architecture"]) == (target.runtime, target.architecture)


def test_a_bare_interpreter_imports_everything(build_for: BuildFor, here: Target) -> None:
    """Nothing is missing: no site-packages, no environment, the artifact alone."""
    assert imported_by(Path(sys.executable), build_for(here))


def test_the_runtimes_own_version_imports_everything(build_for: BuildFor) -> None:
    """As above, with the Python of the deployed runtime."""
    target = Target(architecture=HOST_ARCHITECTURE or "x86_64")
    interpreter = find_interpreter(target.python)
    if interpreter is None or HOST_ARCHITECTURE is None or sys.platform != "linux":
        pytest.skip(f"there is no Python {target.python} for Linux on this machine")
    assert imported_by(interpreter.path, build_for(target))


def imported_by(python: Path, built: Built) -> bool:
    done = subprocess.run(
        [python, "-I", "-S", "-B", "-c", EVERYTHING, built.folder],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    return done.stdout.split() == ["RSAAlgorithm", "https://dynamodb.eu-central-1.amazonaws.com", "True"]
