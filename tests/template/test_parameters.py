"""Valid parameters, as judged by the plugin."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Mapping
from typing import Any

import pytest

from groupcast.errors import SettingsError
from groupcast.settings import read_settings
from localcloud.service.model import Service
from localcloud.service.template import parse_yaml
from tests.conftest import REGION, ROOT

NODE = ROOT / ".venv" / "bin" / "node"
MODULE = ROOT / "src" / "groupcast_deploy" / "parameters.js"
DOCUMENT = parse_yaml((ROOT / "serverless.yml").read_text())


class RefusedError(Exception):
    """The module threw."""


def node(expression: str, *arguments: Any) -> Any:
    """Evaluate an expression over the module `it` and JSON `args`; RefusedError if it throws."""
    script = f"""
        const it = require({json.dumps(str(MODULE))});
        const args = {json.dumps(arguments)};
        try {{
          console.log(JSON.stringify({expression}));
        }} catch (error) {{
          console.error(error.message);
          process.exit(1);
        }}
    """
    done = subprocess.run([NODE, "-e", script], capture_output=True, text=True, check=False, timeout=20)
    if done.returncode != 0:
        raise RefusedError(done.stderr.strip())
    return json.loads(done.stdout)


def values(*given: str, stage: str = "dev") -> dict[str, Any]:
    """The parameters of serverless.yml, with some given as on the command line."""
    found: dict[str, Any] = node("it.readParameters(...args)", DOCUMENT["params"], stage, given)
    return found


def test_text_becomes_numbers_and_booleans() -> None:
    """Given values override the stage's, which override the defaults."""
    assert values("requestsPerSecond=5000")["requestsPerSecond"] == 5000
    assert values("adminCreateUserOnly=false")["adminCreateUserOnly"] is False
    assert (values()["dataDeleted"], values(stage="prod")["dataDeleted"]) == (
        "Delete",
        "RetainExceptOnCreate",
    )
    assert values("dataDeleted=Retain", stage="prod")["dataDeleted"] == "Retain"
    assert (
        values("managementEndpoint=http://127.0.0.1:1/?a=b")["managementEndpoint"]
        == "http://127.0.0.1:1/?a=b"
    )


def test_every_rule_is_of_a_parameter_in_use() -> None:
    """No rule outlives its parameter."""
    files = [ROOT / "serverless.yml", *(ROOT / "src" / "groupcast_deploy").glob("*.yml")]
    used = {name for file in files for name in re.findall(r"\$\{(?:param|typed):(\w+)", file.read_text())}
    assert set(node("Object.keys(it.RULES)")) <= used


def test_without_a_rule_the_default_gives_the_type() -> None:
    """A number if the default is one, else any text."""
    params = {"default": {"lateAlarm": 3, "greeting": "hello"}}
    assert node("it.readParameters(...args)", params, "dev", ["lateAlarm=0", "greeting="]) == {
        "lateAlarm": 0,
        "greeting": "",
    }
    with pytest.raises(RefusedError, match=r'parameter lateAlarm is "x": it must be a whole number from 0'):
        node("it.readParameters(...args)", params, "dev", ["lateAlarm=x"])


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (
            "requestsPerSecond=abc",
            'parameter requestsPerSecond is "abc": it must be a whole number from 1 to 1000000',
        ),
        ("requestsPerSecond=-5", 'parameter requestsPerSecond is "-5": it must be a whole number'),
        ("requestBurst=0", 'parameter requestBurst is "0": it must be a whole number from 1'),
        (
            "deliveryConcurrency=2.5",
            'parameter deliveryConcurrency is "2.5": it must be a whole number from 2 to 1000',
        ),
        ("offerAlarmSeconds=1e3", 'parameter offerAlarmSeconds is "1e3": it must be a whole number'),
        ("auth=nobody", 'parameter auth is "nobody": it must be cognito or none'),
        ("auth=", 'parameter auth is "": it must be cognito or none'),
        ("delivery=x", 'parameter delivery is "x": it must be lanes or stream'),
        ("tokenUse=ID", 'parameter tokenUse is "ID": it must be any, access or id'),
        ("adminCreateUserOnly=yes", 'parameter adminCreateUserOnly is "yes": it must be true or false'),
        (
            "managementEndpoint=127.0.0.1",
            'parameter managementEndpoint is "127.0.0.1": it must be an http or https URL',
        ),
        (
            "requestPerSecond=5000",
            "unknown parameter requestPerSecond; the parameters are runtime, architecture, auth,",
        ),
        ("requestsPerSecond", "--param takes NAME=VALUE, not requestsPerSecond"),
        (
            "messagesPerSecond=20",
            "parameter groupMessagesPerSecond is 50: with messagesPerSecond 20 it must be 60 or more",
        ),
    ],
)
def test_an_invalid_value_is_refused(given: str, sentence: str) -> None:
    """In one sentence with the parameter's name and its valid values."""
    with pytest.raises(RefusedError, match=f"^{re.escape(sentence)}[^\n]*$"):
        values(given)


def test_bounds_are_those_of_the_functions(unit_service: Service) -> None:
    """Packaging accepts exactly the values that functions accept."""
    rules: dict[str, dict[str, int]] = node("it.RULES")
    raw: Mapping[str, Any] = DOCUMENT["provider"]["environment"]
    given = {str(value): variable for variable, value in raw.items()}
    checked = {name: given[f"${{param:{name}}}"] for name in rules if f"${{param:{name}}}" in given}
    bounded = {variable: rules[name] for name, variable in checked.items() if "low" in rules[name]}
    assert len(bounded) > 10
    # The maximum, except for groups: their relation to users' limits is tested above.
    environment = {**unit_service.functions["sendMessage"].environment, "AWS_REGION": REGION}
    environment |= {"GROUP_MESSAGES_PER_SECOND": "10000", "GROUP_BYTES_PER_SECOND": str(1024**3)}
    for variable, rule in bounded.items():
        of_groups = variable.startswith("GROUP_")
        for value in (rule["high"],) if of_groups else (rule["low"], rule["high"]):
            read_settings(environment | {variable: str(value)})
        for value in (rule["low"] - 1, rule["high"] + 1):
            with pytest.raises(SettingsError, match=variable):
                read_settings(environment | {variable: str(value)})
