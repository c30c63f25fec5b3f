"""The osls plugin, run by osls itself; a script in place of .venv's Python prints its arguments."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import ROOT

OSLS = ROOT / "node_modules" / "serverless" / "bin" / "serverless.js"
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
echo "artifact: packing …"
echo "build/small.zip built: for a test"
"""
FAILS = """#!/bin/sh
echo "artifact: requirements.lock has no one==1.0: run make lock" >&2
exit 1
"""
SETS_UP = """
.venv/.ready:
	mkdir -p .venv/bin && cp python .venv/bin/python && chmod +x .venv/bin/python && touch $@
"""


@dataclass(frozen=True, slots=True)
class Service:
    """A folder with a serverless.yml."""

    folder: Path

    def has_python(self, script: str) -> None:
        """Put a script in place of .venv/bin/python."""
        python = self.folder / ".venv" / "bin" / "python"
        python.parent.mkdir(parents=True)
        python.write_text(script)
        python.chmod(0o755)
        (self.folder / ".venv" / ".ready").touch()

    def package(self, *arguments: str) -> tuple[int, str]:
        """Run `osls package`; return its exit code and output."""
        return self.node(OSLS, "package", *arguments)

    def node(self, *arguments: str | Path) -> tuple[int, str]:
        """Run node in the folder; its exit code and all it says."""
        done = subprocess.run(
            [NODE, *arguments],
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
    (tmp_path / "node_modules").symlink_to(ROOT / "node_modules")
    return Service(tmp_path)


def test_serverless_is_the_pinned_osls() -> None:
    """`npx serverless` finds it in node_modules, and so does the commercial framework's launcher."""
    pinned = json.loads((ROOT / "package.json").read_text())["devDependencies"]["serverless"]
    environment = {**os.environ, "PATH": f"{NODE.parent}{os.pathsep}{os.environ['PATH']}"}
    command = [str(NODE.with_name("npx")), "serverless", "--version"]
    done = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    assert done.stdout == f"osls version: {pinned.removeprefix('npm:osls@')} (local)\n"


def test_package_builds_for_the_runtime_of_serverless_yml(service: Service) -> None:
    """One command packages: the builder gets runtime, architecture and file, and its output is shown."""
    service.has_python(BUILDS)
    code, said = service.package()
    assert said.count("artifact: packing …") == 1
    asked = (service.folder / "asked").read_text().split()
    assert (code, said.count("build/small.zip built: for a test")) == (0, 1)
    assert asked[:2] == ["-m", "groupcast_deploy.artifact"]
    assert asked[2:] == "--runtime python3.12 --architecture arm64 --output build/small.zip".split()
    assert "AUTH" not in said


def test_without_sign_in_it_warns(service: Service) -> None:
    """Once, with the consequences."""
    service.has_python(BUILDS)
    code, said = service.package("--param", "auth=none")
    assert code == 0
    assert said.count("anyone with the URL can read and write every group") == 1


def test_a_failed_build_stops_the_deployment(service: Service) -> None:
    """The builder's own line is the error: an old artifact is never deployed instead."""
    service.has_python(FAILS)
    code, said = service.package()
    assert code == 1
    assert "artifact: requirements.lock has no one==1.0: run make lock" in said


def test_a_missing_venv_is_set_up(service: Service) -> None:
    """By the Makefile, after `npm install` in a fresh clone, or after an interrupted set-up."""
    (service.folder / "python").write_text(BUILDS)
    (service.folder / "Makefile").write_text(SETS_UP)
    (service.folder / ".venv").mkdir()
    code, said = service.package()
    assert (code, said.count("setting up .venv (once)")) == (0, 1), said
    assert "build/small.zip built: for a test" in said
    code, said = service.package()
    assert (code, said.count("setting up .venv (once)")) == (0, 0), said


def test_a_failed_set_up_has_a_clear_error(service: Service) -> None:
    """With the Makefile's own reason."""
    (service.folder / "Makefile").write_text(".venv/.ready:\n\t@echo groupcast needs Python >&2; exit 1\n")
    code, said = service.package()
    assert code == 1
    assert "groupcast needs Python" in said


def test_without_npm_install_it_says_so(service: Service) -> None:
    """A global osls may have any version."""
    (service.folder / "node_modules").unlink()
    code, said = service.package()
    assert code == 1
    assert "run npm install, then npx serverless with the same arguments" in said


def test_another_framework_is_refused(service: Service) -> None:
    """The commercial one loads the same plugins."""
    code, said = service.node(
        "-e", 'new (require("./plugin.js"))({ classes: { Error } }, {}, { progress: { get() {} } })'
    )
    assert code == 1
    assert "run npm install, then npx serverless with the same arguments" in said


def test_a_wrong_parameter_stops_the_packaging(service: Service) -> None:
    """In one sentence, before anything is built and before osls checks the settings that use it."""
    service.has_python(BUILDS)
    code, said = service.package("--param", "auth=nobody")
    assert code == 1
    assert 'parameter auth is "nobody": it must be cognito or none' in said
    assert not (service.folder / "asked").exists()


def test_a_stage_has_parameters_of_its_own(service: Service) -> None:
    """They are checked like --param, but only in their own stage."""
    service.has_python(BUILDS)
    text = SERVICE.replace("package:", "  test:\n    auth: nobody\npackage:")
    (service.folder / "serverless.yml").write_text(text)
    assert service.package()[0] == 0
    code, said = service.package("--stage", "test")
    assert (code, 'parameter auth is "nobody"' in said) == (1, True)


def test_a_role_that_does_not_exist_stops_the_packaging(service: Service) -> None:
    """Earlier than cfn-lint, or CloudFormation during a deployment."""
    service.has_python(BUILDS)
    text = SERVICE.replace("handler: one.handler", "handler: one.handler\n    role: FooRole")
    (service.folder / "serverless.yml").write_text(text)
    code, said = service.package()
    assert code == 1
    assert "functions.one: its role FooRole is not a resource of the template" in said


def test_an_alarm_takes_ten_metrics(service: Service) -> None:
    """CloudFormation accepts no more; the rest get another alarm with the same settings."""
    service.has_python(BUILDS)
    metrics = [{"Id": f"m{place}", "MetricStat": {}} for place in range(1, 13)]
    total = {"Id": "total", "Expression": "SUM(METRICS())"}
    properties = {"Threshold": 1, "Metrics": [total, *metrics]}
    alarms = {"RoutesFail": {"Type": "AWS::CloudWatch::Alarm", "Properties": properties}}
    text = f"{SERVICE}resources: {json.dumps({'Resources': alarms})}\n"
    (service.folder / "serverless.yml").write_text(text)
    code, said = service.package()
    assert code == 0, said
    packaged = service.folder / ".serverless" / "cloudformation-template-update-stack.json"
    resources = json.loads(packaged.read_text())["Resources"]
    first, second = resources["RoutesFail"], resources["RoutesFail2"]
    assert first["Properties"] == {"Threshold": 1, "Metrics": [total, *metrics[:10]]}
    assert second["Properties"] == {"Threshold": 1, "Metrics": [total, *metrics[10:]]}
    assert "RoutesFail3" not in resources
