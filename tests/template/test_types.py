"""Types of parameters: `--param` gives text, and CloudFormation leaves free JSON unchanged."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from localcloud.service.template import parse_yaml
from tests.conftest import ROOT
from tests.template.conftest import Package, Template

LINT_TIMEOUT_S = 50
# https://docs.aws.amazon.com/apigatewayv2/latest/api-reference/apis-apiid-stages-stagename.html
ROUTE_SETTINGS: dict[str, tuple[type, ...]] = {
    "DataTraceEnabled": (bool,),
    "DetailedMetricsEnabled": (bool,),
    "LoggingLevel": (str,),
    "ThrottlingBurstLimit": (int,),
    "ThrottlingRateLimit": (int, float),
}


@pytest.fixture(scope="module")
def overridden(package: Package) -> Template:
    """The default stage with every parameter given on the command line, with its default value."""
    params: dict[str, Any] = parse_yaml((ROOT / "serverless.yml").read_text())["params"]["default"]
    # Empty values can't be given.
    given = [f"{name}={value}" for name, value in params.items() if value != ""]
    return package("dev", *given, "fanoutConcurrency=108")


def test_text_reaches_the_resource_schemas_as_their_types(overridden: Template, tmp_path: Path) -> None:
    """No text in place of a number or boolean: cfn-lint knows the registry's schemas."""
    assert lint(overridden.document, tmp_path) == []


def test_text_where_a_number_belongs_is_found(overridden: Template, tmp_path: Path) -> None:
    """cfn-lint accepts "15" for 15 unless it is strict."""
    alarm = json.loads(json.dumps(overridden.resources["OffersWait"]))
    alarm["Properties"]["Threshold"] = "15"
    document = {**overridden.document, "Resources": {"OffersWait": alarm}}
    assert [one for one in lint(document, tmp_path) if "'15' is not of type 'number'" in one]


def test_route_settings_have_the_types_of_the_api(overridden: Template) -> None:
    """CloudFormation treats them as free JSON, so nothing converts text to numbers."""
    (stage,) = overridden.of_type("AWS::ApiGatewayV2::Stage").values()
    assert stage["RouteSettings"]
    for route, settings in stage["RouteSettings"].items():
        for name, value in settings.items():
            assert type(value) in ROUTE_SETTINGS[name], (route, name, value)


def test_the_dashboard_is_json_with_numbers(overridden: Template) -> None:
    """In the lines that parameters draw."""
    (dashboard,) = overridden.of_type("AWS::CloudWatch::Dashboard").values()
    body = json.loads(dashboard["DashboardBody"]["Fn::Sub"])
    lines = [
        line
        for widget in body["widgets"]
        for line in widget["properties"].get("annotations", {}).get("horizontal", ())
    ]
    assert lines
    assert all(type(line["value"]) in (int, float) for line in lines)


def lint(document: dict[str, Any], folder: Path) -> list[str]:
    """cfn-lint's findings on a template."""
    file = folder / "template.json"
    file.write_text(json.dumps(document))
    cfn_lint = str(Path(sys.executable).with_name("cfn-lint"))
    command = [cfn_lint, *lint_options(), "--format", "parseable", "-t", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LINT_TIMEOUT_S, check=False)
    assert not done.stderr, done.stderr
    return done.stdout.splitlines()


def lint_options() -> list[str]:
    """The options of `make check`."""
    makefile = (ROOT / "Makefile").read_text()
    (line,) = [one for one in makefile.splitlines() if "/cfn-lint " in one]
    return line.split("cfn-lint ")[1].split(" -t ")[0].split()
