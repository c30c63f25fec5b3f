"""The osls plugin, run by osls itself; a script in the place of .venv's Python says what it was asked."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import ROOT

OSLS = ROOT / "node_modules" / "osls" / "bin" / "serverless.js"
PLUGIN = ROOT / "src" / "groupcast_deploy" / "plugin.js"
NODE = ROOT / ".venv" / "bin" / "node"
SERVICE = """
service: small
frameworkVersion: "4"
plugins: [./plugin.js]
provider:
  name: aws
  runtime: python3.12
  architecture: arm64
  environment:
    AUTH: ${param:auth}
params:
  default:
    auth: cognito
package:
  artifact: build/small.zip
functions:
  one:
    handler: one.handler
"""
BUILDS = """#!/bin/sh
echo "$@" > asked
mkdir -p build && echo "no zip" > build/small.zip
echo "build/small.zip built: for a test"
"""
FAILS = """#!/bin/sh
echo "artifact: requirements.lock has no one==1.0: run make lock" >&2
exit 1
"""


@dataclass(frozen=True, slots=True)
class Service:
    """A folder with a serverless.yml."""

    folder: Path

    def has_python(self, script: str) -> None:
        """Put a script in the place of .venv/bin/python."""
        python = self.folder / ".venv" / "bin" / "python"
        python.parent.mkdir(parents=True)
        python.write_text(script)
        python.chmod(0o755)

    def package(self, *arguments: str) -> tuple[int, str]:
        """Run `osls package`; its exit code and all it says."""
        done = subprocess.run(
            [NODE, OSLS, "package", *arguments],
            cwd=self.folder,
            env={**os.environ, "SLS_NOTIFICATIONS_MODE": "off", "SLS_TELEMETRY_DISABLED": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout


@pytest.fixture
def service(tmp_path: Path) -> Service:
    (tmp_path / "serverless.yml").write_text(SERVICE)
    for script in PLUGIN.parent.glob("*.js"):
        shutil.copyfile(script, tmp_path / script.name)
    return Service(tmp_path)


def test_package_builds_for_what_serverless_yml_names(service: Service) -> None:
    """One command packages: the builder gets runtime, architecture and file, and its line is shown."""
    service.has_python(BUILDS)
    code, said = service.package()
    asked = (service.folder / "asked").read_text().split()
    assert (code, said.count("build/small.zip built: for a test")) == (0, 1)
    assert asked[:2] == ["-m", "groupcast_deploy.artifact"]
    assert asked[2:] == "--runtime python3.12 --architecture arm64 --output build/small.zip".split()
    assert "AUTH" not in said


def test_without_sign_in_it_warns(service: Service) -> None:
    """Whoever turns sign-in off reads what that means, once."""
    service.has_python(BUILDS)
    code, said = service.package("--param", "auth=none")
    assert code == 0
    assert said.count("anyone who has the URL can read and write every group") == 1


def test_a_failed_build_stops_the_deployment(service: Service) -> None:
    """The builder's own line is the error: an old artifact is never deployed in its place."""
    service.has_python(FAILS)
    code, said = service.package()
    assert code == 1
    assert "artifact: requirements.lock has no one==1.0: run make lock" in said


def test_without_a_venv_it_says_how_to_make_one(service: Service) -> None:
    """A fresh clone."""
    code, said = service.package()
    assert code == 1
    assert "there is no .venv here: run make setup" in said


def test_a_wrong_parameter_stops_the_packaging(service: Service) -> None:
    """In one sentence, before anything is built and before osls judges the settings that use it."""
    service.has_python(BUILDS)
    code, said = service.package("--param", "auth=nobody")
    assert code == 1
    assert 'parameter auth is "nobody": it may be cognito or none' in said
    assert not (service.folder / "asked").exists()


def test_a_stage_has_parameters_of_its_own(service: Service) -> None:
    """They are judged as --param is, in their own stage alone."""
    service.has_python(BUILDS)
    text = SERVICE.replace("package:", "  test:\n    auth: nobody\npackage:")
    (service.folder / "serverless.yml").write_text(text)
    assert service.package()[0] == 0
    code, said = service.package("--stage", "test")
    assert (code, 'parameter auth is "nobody"' in said) == (1, True)


def test_a_role_that_does_not_exist_stops_the_packaging(service: Service) -> None:
    """Not only cfn-lint, or CloudFormation in the middle of a deployment."""
    service.has_python(BUILDS)
    text = SERVICE.replace("handler: one.handler", "handler: one.handler\n    role: FooRole")
    (service.folder / "serverless.yml").write_text(text)
    code, said = service.package()
    assert code == 1
    assert "functions.one: there is no resource FooRole, which is to be its role" in said
