"""A custom domain: the API's mapping, a record in Route 53, and the parameters for both."""

from __future__ import annotations

import json
import subprocess

import pytest

from tests.conftest import ROOT
from tests.template.conftest import OSLS, PACKAGE_TIMEOUT_S, Package, Template

DOMAIN = "domainName=chat.example.com"
CERTIFICATE = "arn:aws:acm:us-east-1:123456789012:certificate/11111111-2222-3333-4444-555555555555"


def test_no_domain_is_the_default(template: Template) -> None:
    """No domain, no mapping, no record."""
    assert "OwnDomain" not in json.dumps(template.document)
    assert not template.of_type("AWS::ApiGatewayV2::DomainName")


@pytest.mark.parametrize(
    ("base_path", "key", "url"),
    [
        ((), {"Ref": "AWS::NoValue"}, "wss://chat.example.com/"),
        (("basePath=team",), "team", "wss://chat.example.com/team"),
    ],
)
def test_a_domain_leads_to_the_stage(
    package: Package, base_path: tuple[str, ...], key: object, url: str
) -> None:
    """With or without a base path; functions still post to API Gateway's own address."""
    template = package("dev", DOMAIN, f"certificateArn={CERTIFICATE}", *base_path)
    (domain,) = template.of_type("AWS::ApiGatewayV2::DomainName").values()
    assert domain["DomainName"] == "chat.example.com"
    (configuration,) = domain["DomainNameConfigurations"]
    expected = {"CertificateArn": CERTIFICATE, "EndpointType": "REGIONAL", "SecurityPolicy": "TLS_1_2"}
    assert configuration == expected
    (mapping,) = template.of_type("AWS::ApiGatewayV2::ApiMapping").values()
    assert mapping == {
        "DomainName": {"Ref": "OwnDomain"},
        "ApiId": {"Ref": "WebsocketsApi"},
        "Stage": {"Ref": "WebsocketsDeploymentStage"},
        "ApiMappingKey": key,
    }
    assert not template.of_type("AWS::Route53::RecordSet")
    assert template.document["Outputs"]["OwnDomainUrl"]["Value"] == url
    for function in template.of_type("AWS::Lambda::Function").values():
        endpoint = function["Environment"]["Variables"]["MANAGEMENT_ENDPOINT"]["Fn::Sub"]
        assert endpoint.startswith("https://${WebsocketsApi}.execute-api.")


def test_a_hosted_zone_gets_the_record(package: Package) -> None:
    """An alias of API Gateway's domain for it."""
    template = package("dev", DOMAIN, f"certificateArn={CERTIFICATE}", "hostedZoneId=Z0123456789")
    (record,) = template.of_type("AWS::Route53::RecordSet").values()
    assert (record["HostedZoneId"], record["Name"], record["Type"]) == (
        "Z0123456789",
        "chat.example.com",
        "A",
    )
    assert record["AliasTarget"] == {
        "DNSName": {"Fn::GetAtt": ["OwnDomain", "RegionalDomainName"]},
        "HostedZoneId": {"Fn::GetAtt": ["OwnDomain", "RegionalHostedZoneId"]},
    }


@pytest.mark.parametrize(
    ("parameters", "problem"),
    [
        ((DOMAIN,), "domainName needs a certificateArn"),
        ((f"certificateArn={CERTIFICATE}",), "need a domainName"),
        (("hostedZoneId=Z0123456789",), "need a domainName"),
        ((DOMAIN, f"certificateArn={CERTIFICATE}", "basePath=a/b"), "basePath must be one path segment"),
        (
            (DOMAIN, "certificateArn=chat"),
            "certificateArn must be the ARN of a certificate in ACM, not 'chat'",
        ),
        (
            (DOMAIN, f"certificateArn={CERTIFICATE.replace('us-east-1', 'eu-west-1')}"),
            "certificateArn is in eu-west-1, but the stage is in us-east-1",
        ),
    ],
)
def test_incomplete_domain_parameters_are_refused(parameters: tuple[str, ...], problem: str) -> None:
    """Before anything is deployed, in one sentence without a stack trace."""
    options = [part for one in parameters for part in ("--param", one)]
    done = subprocess.run(
        [*OSLS, "print", *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PACKAGE_TIMEOUT_S,
        check=False,
    )
    assert done.returncode != 0
    assert problem in done.stdout + done.stderr
    assert "options.js:" not in (done.stdout + done.stderr).replace('"options.js":', "")
