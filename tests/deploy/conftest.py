"""An AWS emulator with groupcast deployed to it by `osls deploy`."""

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
    """An empty AWS emulator."""
    with asyncio.Runner() as runner:
        running = Emulator(tmp_path_factory.mktemp("ministack"))
        runner.run(running.__aenter__())
        try:
            yield running
        finally:
            runner.run(running.__aexit__())


@pytest.fixture(scope="session")
def project(emulator: Emulator) -> Project:
    """A copy of the project; its artifact is kept for the next run."""
    # One for each pytest worker.
    return Project(ROOT / "build" / f"rehearsal-{os.environ.get('PYTEST_XDIST_WORKER', 'alone')}", emulator)


@pytest.fixture(scope="session")
def open_stage(project: Project) -> Stage:
    """A stage without sign-in."""
    return project.deploy("open", auth="none")


@pytest.fixture(scope="session")
def stream_stage(project: Project) -> Stage:
    """A stage without sign-in and without lanes, with delivery=stream."""
    return project.deploy("stream", auth="none", delivery="stream")


@pytest.fixture(scope="session")
def stage(project: Project) -> Stage:
    """A stage with the defaults of serverless.yml, including a user pool."""
    return project.deploy("rehearsal")


@pytest.fixture(scope="session")
def bench(stage: Stage) -> Bench:
    """Invokes the stage's functions one by one."""
    return Bench(stage)
