"""Parts of the artifact's build, without a build."""

from __future__ import annotations

import json
from pathlib import Path, PurePosixPath

import botocore
import pytest
from botocore.regions import EndpointResolver

from groupcast_deploy.artifact import ArtifactError, elf
from groupcast_deploy.artifact.dependencies import pinned
from groupcast_deploy.artifact.pruning import is_needed, without_other_services

LOCK = """\
one==1.0 \\
    --hash=sha256:aa \\
    --hash=sha256:ab
    # via groupcast (pyproject.toml)
two==2.0 ; sys_platform != 'win32' \\
    --hash=sha256:ba
"""


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
def test_needed_files_stay(name: str) -> None:
    """Code, the data of the one used service and botocore's common data, versions and licences."""
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
def test_unread_files_are_removed(name: str) -> None:
    """Other services' data, tests, sources of compiled modules, installers' notes."""
    assert not is_needed(PurePosixPath(name))


def test_pins_keep_the_hashes_of_the_lock() -> None:
    """Installation checks against committed hashes, not those of an index."""
    assert pinned(LOCK, ["two==2.0"]) == "two==2.0 ; sys_platform != 'win32' \\\n    --hash=sha256:ba\n"


def test_a_dependency_that_is_not_locked_is_an_error() -> None:
    """pyproject.toml has changed and the lock has not."""
    with pytest.raises(ArtifactError, match=r"requirements\.lock has no two==2\.1: run make lock"):
        pinned(LOCK, ["one==1.0", "two==2.1"])


def test_an_invalid_library_is_refused() -> None:
    """A text file called .so means a broken wheel."""
    with pytest.raises(ValueError, match="ELF"):
        elf.without_debug(b"#!/bin/sh\n")


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
