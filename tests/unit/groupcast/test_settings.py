from __future__ import annotations

import pytest

from groupcast.errors import SettingsError
from groupcast.settings import read_settings
from localcloud.service.model import Service


@pytest.fixture
def environ(unit_service: Service) -> dict[str, str]:
    return {**unit_service.functions["fanoutMessage"].environment, "AWS_REGION": "eu-west-1"}


def test_the_environment_of_serverless_yml_is_complete(environ: dict[str, str]) -> None:
    """It gives all required settings, and endpoints default to AWS's."""
    settings = read_settings(environ)
    assert settings.connections_table == "groupcast-unit-connections"
    assert settings.management_endpoint.startswith("https://")
    assert settings.dynamodb_endpoint == "https://dynamodb.eu-west-1.amazonaws.com"


def test_sdk_variables_override_endpoints(environ: dict[str, str]) -> None:
    """The variables of AWS's SDKs also apply to groupcast's own clients."""
    environ["AWS_ENDPOINT_URL_APIGATEWAYMANAGEMENTAPI"] = "http://127.0.0.1:3001/dev/"
    environ["AWS_ENDPOINT_URL"] = "http://127.0.0.1:4566"
    environ["AWS_ENDPOINT_URL_SQS"] = "http://127.0.0.1:5000"
    settings = read_settings(environ)
    assert settings.management_endpoint == "http://127.0.0.1:3001/dev"
    assert settings.dynamodb_endpoint == settings.cognito_endpoint == "http://127.0.0.1:4566"
    assert settings.sqs_endpoint == "http://127.0.0.1:5000"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CONNECTIONS_TABLE", ""),
        ("AUTH", "maybe"),
        ("TOKEN_USE", "refresh"),
        ("USER_POOL_ID", ""),
        ("MESSAGES_PER_SECOND", "0"),
        ("GROUP_MESSAGES_PER_SECOND", "0"),
        ("GROUP_MESSAGES_PER_SECOND", "29"),
        ("GROUP_BYTES_PER_SECOND", "1000"),
        ("GROUP_BYTES_PER_SECOND", "30719"),
        ("CONNECTIONS_PER_USER", "101"),
        ("MESSAGE_BURST", "0"),
        ("RETENTION_DAYS", "-1"),
        ("RETENTION_DAYS", "1.5"),
        ("POST_WINDOW", "0"),
        ("POST_WINDOW", "513"),
        ("MEMBERS_PAGE_SIZE", "many"),
        ("AWS_ENDPOINT_URL_DYNAMODB", "dynamodb.local"),
    ],
)
def test_a_wrong_setting_is_named(environ: dict[str, str], name: str, value: str) -> None:
    """The error names the variable."""
    with pytest.raises(SettingsError, match=name):
        read_settings({**environ, name: value})
