"""An AWS on this machine and groupcast deployed to it, by `osls deploy` as a user does."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator

import pytest

from tests.deploy.bench import Bench
from tests.deploy.emulator import ROOT, Emulator
from tests.deploy.project import Project, Stage


@pytest.fixture(scope="session")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    """An AWS of our own, empty."""
    with asyncio.Runner() as runner:
        running = Emulator(tmp_path_factory.mktemp("ministack"))
        runner.run(running.__aenter__())
        try:
            yield running
        finally:
            runner.run(running.__aexit__())


@pytest.fixture(scope="session")
def project(emulator: Emulator) -> Project:
    """The project as it stands; the artifact that deploying it makes is kept for the next run."""
    # Two workers that share the tests have one each.
    return Project(ROOT / "build" / f"rehearsal-{os.environ.get('PYTEST_XDIST_WORKER', 'alone')}", emulator)


@pytest.fixture(scope="session")
def open_stage(project: Project) -> Stage:
    """A stage where nobody signs in."""
    return project.deploy("open", auth="none")


@pytest.fixture(scope="session")
def stream_stage(project: Project) -> Stage:
    """A stage where nobody signs in, and the stream's batches are posted without lanes."""
    return project.deploy("stream", auth="none", delivery="stream")


@pytest.fixture(scope="session")
def stage(project: Project) -> Stage:
    """A stage as serverless.yml has it: with a user pool."""
    return project.deploy("rehearsal")


@pytest.fixture(scope="session")
def bench(stage: Stage) -> Bench:
    """The stage's functions, to be invoked one by one."""
    return Bench(stage)
