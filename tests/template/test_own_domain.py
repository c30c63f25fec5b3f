"""A custom domain: the API's mapping, a record in Route 53, and the parameters for both."""

from __future__ import annotations

import json
import subprocess

import pytest

from tests.conftest import ROOT
from tests.template.conftest import OSLS, PACKAGE_TIMEOUT_S, Package, Template

OPTIONS = ROOT / "src" / "groupcast_deploy" / "options.js"
DOMAIN = "domainName=chat.example.com"
CERTIFICATE = "arn:aws:acm:us-east-1:123456789012:certificate/11111111-2222-3333-4444-555555555555"


def test_no_domain_is_the_default(template: Template) -> None:
    """No domain, no mapping, no record."""
    assert "OwnDomain" not in json.dumps(template.document)
    assert not template.of_type("AWS::ApiGatewayV2::DomainName")


@pytest.fixture(scope="module")
def with_all(package: Package) -> Template:
    """A stage whose domain has a base path, and a record in a hosted zone."""
    own = (DOMAIN, f"certificateArn={CERTIFICATE}", "basePath=team", "hostedZoneId=Z0123456789")
    return package("dev", *own)


@pytest.fixture(scope="module")
def with_domain(package: Package) -> Template:
    """A stage with a domain alone."""
    return package("dev", DOMAIN, f"certificateArn={CERTIFICATE}")


@pytest.mark.parametrize(
    ("stage", "key", "url"),
    [
        ("with_domain", {"Ref": "AWS::NoValue"}, "wss://chat.example.com/"),
        ("with_all", "team", "wss://chat.example.com/team"),
    ],
)
def test_a_domain_leads_to_the_stage(
    request: pytest.FixtureRequest, stage: str, key: object, url: str
) -> None:
    """With or without a base path; functions still post to API Gateway's own address."""
    template: Template = request.getfixturevalue(stage)
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
    assert template.document["Outputs"]["OwnDomainUrl"]["Value"] == url
    for function in template.of_type("AWS::Lambda::Function").values():
        endpoint = function["Environment"]["Variables"]["MANAGEMENT_ENDPOINT"]["Fn::Sub"]
        assert endpoint.startswith("https://${WebsocketsApi}.execute-api.")


def test_a_hosted_zone_gets_the_record(with_domain: Template, with_all: Template) -> None:
    """An alias of API Gateway's domain for it."""
    assert not with_domain.of_type("AWS::Route53::RecordSet")
    (record,) = with_all.of_type("AWS::Route53::RecordSet").values()
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
    ("given", "problem"),
    [
        ({"certificateArn": CERTIFICATE}, "need a domainName"),
        ({"hostedZoneId": "Z0123456789"}, "need a domainName"),
        (
            {"domainName": "chat.example.com", "certificateArn": CERTIFICATE, "basePath": "a/b"},
            "basePath must be one path segment",
        ),
        (
            {"domainName": "chat.example.com", "certificateArn": "chat"},
            "certificateArn must be the ARN of a certificate in ACM, not 'chat'",
        ),
        (
            {
                "domainName": "chat.example.com",
                "certificateArn": CERTIFICATE.replace("us-east", "eu-west"),
            },
            "certificateArn is in eu-west-1, but the stage is in us-east-1",
        ),
    ],
)
def test_incomplete_domain_parameters_are_refused(given: dict[str, str], problem: str) -> None:
    """Before anything is deployed, in one sentence without a stack trace."""
    script = f"""
        const given = {json.dumps(given)};
        require({json.dumps(str(OPTIONS))}).ownDomain({{
          resolveVariable: async (name) => given[name.replace("param:", "")] ?? "",
          resolveConfigurationProperty: async () => "us-east-1",
        }}).catch((error) => console.log(JSON.stringify([error.message, error.stack])));
    """
    done = subprocess.run([OSLS[0], "-e", script], capture_output=True, text=True, check=True, timeout=20)
    message, trace = json.loads(done.stdout)
    assert problem in message
    assert trace == ""


def test_osls_shows_the_refusal() -> None:
    """Before anything is deployed, in a sentence without a stack trace."""
    done = subprocess.run(
        [*OSLS, "print", "--param", DOMAIN],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PACKAGE_TIMEOUT_S,
        check=False,
    )
    assert done.returncode != 0
    assert "domainName needs a certificateArn" in done.stdout + done.stderr
    assert "options.js:" not in (done.stdout + done.stderr).replace('"options.js":', "")
