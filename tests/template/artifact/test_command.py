"""The command that builds the artifact."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from groupcast_deploy.artifact import Target, dependencies
from groupcast_deploy.artifact.__main__ import main
from groupcast_deploy.artifact.build import _label
from groupcast_deploy.artifact.bytecode import find_interpreter
from tests.template.artifact.support import Sources


def artifact_command(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "groupcast_deploy.artifact", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


def test_there_is_no_interpreter_of_an_unknown_version() -> None:
    """The build goes on without bytecode then, and says so."""
    assert find_interpreter("3.99") is None


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
    assert done.stderr == "artifact: there is no pyproject.toml here: run this in groupcast's own folder\n"


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
