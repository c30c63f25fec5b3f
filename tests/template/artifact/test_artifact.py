"""The artifact for Lambda: real builds from requirements.lock."""

from __future__ import annotations

import importlib.util
import io
import json
import marshal
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path
from types import CodeType

import pytest
from elftools.elf.dynamic import DynamicSegment
from elftools.elf.elffile import ELFFile

from groupcast_deploy.artifact import Target, build
from groupcast_deploy.artifact.build import LABEL
from groupcast_deploy.artifact.bytecode import find_interpreter
from tests.conftest import ROOT
from tests.template.artifact.support import HOST_ARCHITECTURE, BuildFor, Built, Sources

# A first build downloads the wheels of each architecture.
pytestmark = pytest.mark.timeout(300)

# Measured 12.4 to 12.8 and 35.7 to 36.3 MB; Lambda takes 50 and 250.
ZIPPED_LIMIT_BYTES = 14_000_000
UNZIPPED_LIMIT_BYTES = 40_000_000
MACHINES = {"arm64": "EM_AARCH64", "x86_64": "EM_X86_64"}
# glibc and libraries of Amazon Linux 2023, the system of python3.12 and later.
GLIBC = (2, 34)
SYSTEM_LIBRARIES = re.compile(
    r"(lib(c|dl|m|pthread|rt)\.so\.\d|libgcc_s\.so\.1|libstdc\+\+\.so\.6|ld-linux-\S+)"
)
# `make arm64` puts Debian's qemu and its Python for arm64 there.
ARM64 = ROOT / "build" / "arm64" / "usr" / "bin"
UNCHECKED_HASH = b"\x01\x00\x00\x00"

# All of groupcast, its lazy imports and every library, and a client that needs botocore's pruned data.
EVERYTHING = """
import asyncio, importlib, pathlib, sys
task = pathlib.Path(sys.argv[1])
sys.path.insert(0, str(task))
for path in sorted([*task.glob("groupcast/**/*.py"), *task.rglob("*.so")]):
    name = path.name.split(".")[0]
    importlib.import_module(".".join(path.relative_to(task).with_name(name).parts).removesuffix(".__init__"))
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
    """A cold start downloads and unpacks it: other services' data and debug data are removed."""
    with zipfile.ZipFile(built.archive) as archive:
        unzipped_bytes = sum(info.file_size for info in archive.infolist())
    assert built.archive.stat().st_size < ZIPPED_LIMIT_BYTES
    assert unzipped_bytes < UNZIPPED_LIMIT_BYTES


def test_every_library_is_for_the_architecture(built: Built, target: Target) -> None:
    """A wheel for the building machine would fail at the first import on Lambda."""
    libraries = libraries_in(built)
    assert {name.split(".")[0] for name in libraries} >= {"_rust", "loop", "orjson", "parser"}
    assert {library["e_machine"] for library in libraries.values()} == {MACHINES[target.architecture]}


def test_every_library_is_complete_for_the_loader(built: Built) -> None:
    """Without section tables: whole segments, system libraries, Python's entry, and symbols of Python."""
    for name, library in libraries_in(built).items():
        assert library.num_sections() == 0, name
        segments = list(library.iter_segments())
        end = max(segment["p_offset"] + segment["p_filesz"] for segment in segments)
        assert library.stream.seek(0, os.SEEK_END) >= end, name
        (dynamic,) = (segment for segment in segments if isinstance(segment, DynamicSegment))
        needed = [tag.needed for tag in dynamic.iter_tags("DT_NEEDED")]
        assert needed, name
        assert [one for one in needed if not SYSTEM_LIBRARIES.fullmatch(one)] == [], name
        symbols = {symbol.name: symbol["st_shndx"] for symbol in dynamic.iter_symbols()}
        assert symbols[f"PyInit_{name.split('.')[0]}"] != "SHN_UNDEF", name
        assert [one for one, where in symbols.items() if where == "SHN_UNDEF" and one.startswith("Py")], name


def test_every_library_loads_with_the_runtimes_glibc(built: Built) -> None:
    """Otherwise the loader would refuse it, but only on Lambda."""
    for path in built.folder.rglob("*.so"):
        versions = re.findall(rb"\0GLIBC_(\d+)\.(\d+)", path.read_bytes())
        assert versions
        assert max((int(major), int(minor)) for major, minor in versions) <= GLIBC, path.name


def libraries_in(built: Built) -> dict[str, ELFFile]:
    """The parsed libraries by file name."""
    return {path.name: ELFFile(io.BytesIO(path.read_bytes())) for path in built.folder.rglob("*.so")}


def test_equal_sources_give_equal_bytes(build_for: BuildFor, sources: Sources, tmp_path: Path) -> None:
    """Neither time, folder nor file order matters: without a change there is no deployment."""
    elsewhere = sources("a-folder-of-another-name")
    for path in elsewhere.rglob("*"):
        os.utime(path, (1_000_000_000, 1_000_000_000))
    build(elsewhere, Target(), tmp_path / "again.zip")
    assert (tmp_path / "again.zip").read_bytes() == build_for(Target()).archive.read_bytes()


def test_only_groupcast_and_its_locked_dependencies_go_in(built: Built) -> None:
    """No test, tool, local cloud or unused AWS service, and only the lock's versions."""
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


def test_scanners_find_versions_and_licences(built: Built) -> None:
    """Every package has METADATA, most have a licence: some wheels have none."""
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
    """Its tracebacks name the file's path on Lambda, not the build's."""
    built = build_for(here)
    modules = list(built.folder.rglob("*.py"))
    for module in modules:
        data = Path(importlib.util.cache_from_source(str(module))).read_bytes()
        assert data[:8] == importlib.util.MAGIC_NUMBER + UNCHECKED_HASH
        code = marshal.loads(data[16:])  # noqa: S302 - we have made it
        assert isinstance(code, CodeType)
        assert code.co_filename == f"/var/task/{module.relative_to(built.folder).as_posix()}"
    assert len(modules) > 500


def test_it_names_its_runtime_and_architecture(built: Built, target: Target) -> None:
    label = json.loads((built.folder / LABEL).read_text())
    assert (label["runtime"], label["architecture"]) == (target.runtime, target.architecture)


def test_a_bare_interpreter_imports_everything(build_for: BuildFor, here: Target) -> None:
    """From the artifact alone, without site-packages or environment."""
    assert imported_by([sys.executable], build_for(here))


def test_the_runtimes_own_version_imports_everything(build_for: BuildFor) -> None:
    """The same with the deployed runtime's Python."""
    target = Target(architecture=HOST_ARCHITECTURE or "x86_64")
    interpreter = find_interpreter(target.python)
    if interpreter is None or HOST_ARCHITECTURE is None or sys.platform != "linux":
        pytest.skip(f"there is no Python {target.python} for Linux on this machine")
    assert imported_by([interpreter.path], build_for(target))


def test_an_emulated_arm64_imports_everything(build_for: BuildFor) -> None:
    """The same with a Python for the deployed architecture, on any machine."""
    if not (ARM64 / "qemu-aarch64").exists():
        pytest.skip("make arm64 brings qemu and a Python for arm64, on Debian")
    python: list[str | Path] = [ARM64 / "qemu-aarch64", "-L", ARM64.parent.parent, ARM64 / "python3.13"]
    assert imported_by(python, build_for(Target()))


def imported_by(python: Sequence[str | Path], built: Built) -> bool:
    done = subprocess.run(
        [*python, "-I", "-S", "-B", "-c", EVERYTHING, built.folder],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    return done.stdout.split() == ["RSAAlgorithm", "https://dynamodb.eu-central-1.amazonaws.com", "True"]


def test_an_artifact_of_the_same_inputs_is_left_alone(
    build_for: BuildFor, sources: Sources, tmp_path: Path
) -> None:
    """A second deployment does not build again; contents decide, not times."""
    output = tmp_path / "groupcast.zip"
    output.write_bytes(build_for(Target()).archive.read_bytes())
    assert not build(sources("same"), Target(), output).built
