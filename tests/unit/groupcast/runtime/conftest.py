"""A cloud for functions' clients, and the settings that point there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from groupcast.settings import Settings, read_settings
from localcloud.service.definition import load_service
from tests.conftest import REGION, ROOT
from tests.unit.groupcast.cloud import STAGE, running_cloud
from tests.unit.groupcast.functions import Output

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.unit.groupcast.cloud import Cloud


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    with running_cloud() as cloud:
        yield cloud


@pytest.fixture
def output(capsys: pytest.CaptureFixture[str]) -> Output:
    return Output(capsys)


@pytest.fixture
def environ(cloud: Cloud, output: Output, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The environment of a function, which is also this process's."""
    service = load_service(ROOT / "serverless.yml", stage=STAGE, region=REGION, params={})
    environ = {**service.functions["sendMessage"].environment, **cloud.environ}
    environ["POWERTOOLS_SERVICE_NAME"] = output.service
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    return environ


@pytest.fixture
def settings(environ: dict[str, str]) -> Settings:
    return read_settings(environ)
