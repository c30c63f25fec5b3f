"""The parts of the artifact's build, without a build."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path, PurePosixPath

import botocore
import pytest
from botocore.regions import EndpointResolver

from groupcast_deploy.artifact import ArtifactError, Target, build, dependencies, elf
from groupcast_deploy.artifact.__main__ import main
from groupcast_deploy.artifact.build import _label
from groupcast_deploy.artifact.bytecode import find_interpreter
from groupcast_deploy.artifact.dependencies import pinned
from groupcast_deploy.artifact.pruning import is_needed, without_other_services
from tests.unit.groupcast_deploy.support import BuildFor, Sources

LOCK = """\
one==1.0 \\
    --hash=sha256:aa \\
    --hash=sha256:ab
    # via groupcast (pyproject.toml)
two==2.0 ; sys_platform != 'win32' \\
    --hash=sha256:ba
"""


def artifact_command(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "groupcast_deploy.artifact", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    "name",
    [
        "botocore/data/endpoints.json",
        "botocore/data/dynamodb/2012-08-10/service-2.json.gz",
        "botocore/cacert.pem",
        "groupcast/handlers/ping.py",
        "six.py",
        "_cffi_backend.cpython-313-x86_64-linux-gnu.so",
        "yarl-1.0.dist-info/METADATA",
        "yarl-1.0.dist-info/licenses/NOTICE",
    ],
)
def test_what_is_needed_stays(name: str) -> None:
    """Code, the data of the one service in use and what botocore reads for any, versions and licences."""
    assert is_needed(PurePosixPath(name))


@pytest.mark.parametrize(
    "name",
    [
        "botocore/data/ec2/2016-11-15/service-2.json.gz",
        "botocore/data/dynamodb/2012-08-10/examples-1.json",
        "boto3/data/s3/2006-03-01/resources-1.json",
        "aioitertools/tests/asyncio.py",
        "groupcast/__pycache__/chat.cpython-311.pyc",
        "uvloop/loop.pyx",
        "bin/jp.py",
        ".lock",
        "yarl-1.0.dist-info/RECORD",
    ],
)
def test_what_is_never_read_goes(name: str) -> None:
    """Other services' data, tests, sources of compiled modules, installers' notes."""
    assert not is_needed(PurePosixPath(name))


def test_pins_keep_the_hashes_of_the_lock() -> None:
    """What is installed is checked against the hashes that were committed, not those an index gives today."""
    assert pinned(LOCK, ["two==2.0"]) == "two==2.0 ; sys_platform != 'win32' \\\n    --hash=sha256:ba\n"


def test_a_dependency_that_is_not_locked_is_an_error() -> None:
    """pyproject.toml has changed and the lock has not."""
    with pytest.raises(ArtifactError, match=r"requirements\.lock has no two==2\.1: run make lock"):
        pinned(LOCK, ["one==1.0", "two==2.1"])


def test_what_is_no_library_is_refused() -> None:
    """A text file called .so is a broken wheel."""
    with pytest.raises(ValueError, match="ELF"):
        elf.without_debug(b"#!/bin/sh\n")


def test_there_is_no_interpreter_of_an_unknown_version() -> None:
    """The build goes on without bytecode then, and says so."""
    assert find_interpreter("3.99") is None


def test_an_artifact_of_the_same_inputs_is_left_alone(
    build_for: BuildFor, sources: Sources, tmp_path: Path
) -> None:
    """A second deployment does not build again; contents decide, not times."""
    output = tmp_path / "groupcast.zip"
    output.write_bytes(build_for(Target()).archive.read_bytes())
    assert not build(sources("same"), Target(), output).built


def test_a_changed_source_makes_the_artifact_stale(sources: Sources) -> None:
    """One character of a comment is a change."""
    folder = sources("changed")
    before = _label(folder, Target(), None)
    slots = folder / "src" / "groupcast" / "slots.py"
    slots.write_text(slots.read_text() + "#")
    assert len({before, _label(folder, Target(), None), _label(folder, Target("python3.12"), None)}) == 3


def test_anywhere_else_it_says_where_to_run(tmp_path: Path) -> None:
    """One line, and exit code 1."""
    done = artifact_command(cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "artifact: there is no pyproject.toml here: run it in groupcast's own folder\n"


def test_what_uv_refuses_ends_the_build_in_one_line(
    sources: Sources,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """uv's many lines become one, after ours; nothing is left behind."""
    uv = tmp_path / "uv"
    uv.write_text("#!/bin/sh\nprintf 'No solution found:\\n  you want too much\\n' >&2; exit 1\n")
    uv.chmod(0o755)
    monkeypatch.setattr(dependencies, "find_uv_bin", lambda: str(uv))
    folder = sources("refused")
    monkeypatch.chdir(folder)
    assert main([]) == 1
    said = capsys.readouterr()
    assert re.fullmatch("artifact: installing dependencies [^\\n]+ …\n", said.out)
    assert said.err == "artifact: uv pip compile failed: No solution found: you want too much\n"
    assert not (folder / "build").exists()


def test_an_unknown_runtime_is_wrong_usage(tmp_path: Path) -> None:
    """The choices are listed."""
    done = artifact_command("--runtime", "python2.7", cwd=tmp_path)
    assert done.returncode == 2
    assert "python3.13" in done.stderr


def test_endpoints_are_those_of_our_services() -> None:
    """The SDK finds the same endpoint of DynamoDB in every region as with the whole file."""
    path = Path(botocore.__file__).parent / "data" / "endpoints.json"
    whole, cut = path.read_bytes(), without_other_services(path.read_bytes())
    assert len(cut) < len(whole) / 20
    resolvers = [EndpointResolver(json.loads(one)) for one in (whole, cut)]
    regions = resolvers[0].get_available_endpoints("dynamodb")
    assert "eu-central-1" in regions
    for region in regions:
        expected, found = (one.construct_endpoint("dynamodb", region) for one in resolvers)
        assert found == expected
