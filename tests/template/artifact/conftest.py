"""Artifacts, built once each from a private copy of the sources."""

from __future__ import annotations

import shutil
import sys
import zipfile
from pathlib import Path

import pytest

from groupcast_deploy.artifact import Target, build
from tests.conftest import ROOT
from tests.template.artifact.support import HOST_ARCHITECTURE, BuildFor, Built, Sources


@pytest.fixture(scope="session")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Sources:
    """Copies the sources of an artifact into a new folder of the given name."""

    def copy(name: str) -> Path:
        folder = tmp_path_factory.mktemp(name)
        for file in ("pyproject.toml", "requirements.lock"):
            shutil.copyfile(ROOT / file, folder / file)
        shutil.copytree(ROOT / "src" / "groupcast", folder / "src" / "groupcast")
        return folder

    return copy


@pytest.fixture(scope="session")
def checkout(sources: Sources) -> Path:
    return sources("checkout")


@pytest.fixture(scope="session")
def build_for(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> BuildFor:
    """The artifact for a target, built on first use."""
    made: dict[Target, Built] = {}

    def make(target: Target) -> Built:
        if target not in made:
            folder = tmp_path_factory.mktemp(f"{target.runtime}-{target.architecture}")
            output = folder / "groupcast.zip"
            build(checkout, target, output)
            with zipfile.ZipFile(output) as archive:
                archive.extractall(folder / "task")
            made[target] = Built(output, folder / "task")
        return made[target]

    return make


@pytest.fixture(scope="session", params=["arm64", "x86_64"])
def target(request: pytest.FixtureRequest) -> Target:
    return Target(architecture=request.param)


@pytest.fixture(scope="session")
def built(build_for: BuildFor, target: Target) -> Built:
    return build_for(target)


@pytest.fixture(scope="session")
def here() -> Target:
    """The running interpreter's own version and machine."""
    if sys.platform != "linux" or HOST_ARCHITECTURE is None:
        pytest.skip("Lambda's libraries load on Linux only")
    return Target(f"python3.{sys.version_info.minor}", HOST_ARCHITECTURE)
