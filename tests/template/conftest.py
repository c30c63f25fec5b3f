"""The CloudFormation template, as `osls package` makes it for a stage."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT

PACKAGE_TIMEOUT_S = 120
OSLS = [str(ROOT / ".venv/bin/node"), str(ROOT / "node_modules/.bin/osls")]


@dataclass(frozen=True)
class Template:
    """A packaged template."""

    document: dict[str, Any]

    @property
    def resources(self) -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = self.document["Resources"]
        return found

    def of_type(self, kind: str) -> dict[str, dict[str, Any]]:
        """Properties by logical id."""
        return {
            name: one.get("Properties", {}) for name, one in self.resources.items() if one["Type"] == kind
        }


Package = Callable[..., Template]


def copy_project(folder: Path, text: str) -> None:
    """Copy the project with another serverless.yml; osls writes files to its working folder."""
    (folder / "serverless.yml").write_text(text)
    for name in ("src", "build", "node_modules", ".venv", "requirements.lock", "pyproject.toml"):
        (folder / name).symlink_to(ROOT / name)


@pytest.fixture(scope="session")
def package(tmp_path_factory: pytest.TempPathFactory) -> Package:
    """Packages a stage with given parameters, once each."""
    project = tmp_path_factory.mktemp("project")
    copy_project(project, (ROOT / "serverless.yml").read_text())

    @cache
    def run(stage: str = "dev", *params: str) -> Template:
        folder = tmp_path_factory.mktemp(f"package-{stage}")
        options = [part for one in params for part in ("--param", one)]
        command = [*OSLS, "package", "--stage", stage, "--package", str(folder), *options]
        done = subprocess.run(
            command, cwd=project, capture_output=True, text=True, timeout=PACKAGE_TIMEOUT_S, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return Template(json.loads(Path(folder, "cloudformation-template-update-stack.json").read_text()))

    return run


@pytest.fixture
def template(package: Package) -> Template:
    """The template of the default stage."""
    return package()
