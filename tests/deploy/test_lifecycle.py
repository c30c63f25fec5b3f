"""A stage from its first deployment to its removal."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.contract.peer import Peer
from tests.deploy.contract import run_contract
from tests.deploy.emulator import Emulator
from tests.deploy.permissions import Grant, Roles
from tests.deploy.project import Project, Stage

DOMAIN = "chat.example.com"
CHAT = "tests/contract/test_chat.py::test_two_people_chat"
# A deployment's traces: service, operation, its arguments, and the path of the names in the response.
KINDS: tuple[tuple[str, str, dict[str, Any], str], ...] = (
    ("apigatewayv2", "get_apis", {}, "Items[].ApiId"),
    ("apigatewayv2", "get_domain_names", {}, "Items[].DomainName"),
    ("cloudformation", "list_stacks", {}, "StackSummaries[?StackStatus != 'DELETE_COMPLETE'].StackName"),
    ("cloudwatch", "describe_alarms", {}, "[MetricAlarms, CompositeAlarms][][].AlarmName"),
    ("cloudwatch", "list_dashboards", {}, "DashboardEntries[].DashboardName"),
    ("cognito-idp", "list_user_pools", {"MaxResults": 60}, "UserPools[].Id"),
    ("dynamodb", "list_tables", {}, "TableNames"),
    ("events", "list_rules", {}, "Rules[].Name"),
    ("iam", "list_policies", {"Scope": "Local"}, "Policies[].PolicyName"),
    ("iam", "list_roles", {}, "Roles[].RoleName"),
    ("lambda", "list_event_source_mappings", {}, "EventSourceMappings[].UUID"),
    ("lambda", "list_functions", {}, "Functions[].FunctionName"),
    ("logs", "describe_log_groups", {}, "logGroups[].logGroupName"),
    ("s3", "list_buckets", {}, "Buckets[].Name"),
    ("sns", "list_topics", {}, "Topics[].TopicArn"),
    ("sqs", "list_queues", {}, "QueueUrls"),
)
# A function's configuration without its code's version and dates.
CONFIGURATION = (
    *("CodeSha256", "Description", "Environment", "Handler", "MemorySize", "Role", "Runtime", "Timeout"),
    *("Architectures", "TracingConfig"),
)

KEPT_TABLES = ("connections", "groups", "messages", "read-marks")


@pytest.mark.timeout(180)
async def test_a_stage_is_deployed_changed_and_removed(
    emulator: Emulator, project: Project, tmp_path: Path
) -> None:
    """A second deployment changes nothing. A change closes no connections. Removal leaves nothing."""
    ours = copied(project, tmp_path)
    before = inventory(emulator)
    given = {"auth": "none", **options(emulator)}
    stage = ours.deploy("lifecycle", **given)
    assert len(inventory(emulator) - before) > len(KINDS)
    assert_options(stage, given)

    assert "No changes to deploy" in ours.osls("deploy", "lifecycle", **given)

    functions = configurations(stage)
    async with Peer.connect(stage.url) as ann:
        await ann.join("group")
        ours.edit(
            "serverless.yml",
            "handler: groupcast.handlers.ping.handler",
            "handler: groupcast.handlers.ping.handler\n    description: Pong",
        )
        assert ours.deploy("lifecycle", **given).url == stage.url
        assert (await ann.ask({"action": "ping"}, "pong"))["groupId"] == "group"
    changed = configurations(stage)
    assert changed.pop("ping") == functions.pop("ping") | {"Description": "Pong"}
    assert changed == functions

    ours.osls("remove", "lifecycle", **given)
    assert inventory(emulator) == before
    assert records(emulator, given["hostedZoneId"]) == set()


@pytest.mark.timeout(180)
def test_a_missing_permission_breaks_the_contract(project: Project, tmp_path: Path) -> None:
    """A test of the contract fails, because IAM denies exactly that permission."""
    ours = copied(project, tmp_path)
    ours.edit(
        "serverless.yml",
        "[dynamodb:PutItem, dynamodb:DeleteItem, dynamodb:BatchGetItem]",
        "[dynamodb:Query, dynamodb:DeleteItem, dynamodb:BatchGetItem]",
    )
    roles = Roles(ours.deploy("denied", auth="none"))
    done = run_contract(roles.stage, CHAT)
    assert done.returncode == 1, done.stdout
    assert roles.denied("connect", 0) == {Grant("connect", "dynamodb:PutItem", "connections")}


@pytest.mark.timeout(180)
def test_production_keeps_its_data(emulator: Emulator, project: Project) -> None:
    """Removing the stage `prod` keeps its tables and users, and nothing else."""
    before = inventory(emulator)
    project.deploy("prod")
    project.osls("remove", "prod")
    kept = inventory(emulator) - before
    tables = {f"dynamodb groupcast-prod-{name}" for name in KEPT_TABLES}
    assert kept >= tables
    assert {name.split()[0] for name in kept - tables} == {"cognito-idp"}


def options(emulator: Emulator) -> dict[str, str]:
    """Parameters for all optional parts of a stage."""
    key = emulator.client("kms").create_key()["KeyMetadata"]["Arn"]
    certificate = emulator.client("acm").request_certificate(DomainName=DOMAIN)["CertificateArn"]
    zone = emulator.client("route53").create_hosted_zone(Name="example.com", CallerReference="lifecycle")
    return {
        "kmsKeyArn": key,
        "domainName": DOMAIN,
        "certificateArn": certificate,
        "basePath": "team",
        "hostedZoneId": zone["HostedZone"]["Id"].removeprefix("/hostedzone/"),
    }


def assert_options(stage: Stage, given: dict[str, str]) -> None:
    """They took effect, as far as the emulator shows; it does not show tables' keys."""
    client = stage.emulator.client
    url = client("sqs").get_queue_url(QueueName=stage.resource("retry"))["QueueUrl"]
    attributes = client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    assert attributes["KmsMasterKeyId"] == given["kmsKeyArn"]
    (mapping,) = client("apigatewayv2").get_api_mappings(DomainName=DOMAIN)["Items"]
    assert (mapping["ApiId"], mapping["ApiMappingKey"]) == (stage.api_id, "team")
    assert records(stage.emulator, given["hostedZoneId"]) == {f"{DOMAIN}."}
    assert stage.outputs["OwnDomainUrl"] == f"wss://{DOMAIN}/team"


def records(emulator: Emulator, zone: str) -> set[str]:
    """The names in a hosted zone that lead to an address."""
    found = emulator.client("route53").list_resource_record_sets(HostedZoneId=zone)["ResourceRecordSets"]
    return {record["Name"] for record in found if record["Type"] == "A"}


def copied(project: Project, folder: Path) -> Project:
    """A project of its own, whose serverless.yml a test may change."""
    built = project.folder / "build"
    # Missing if this is the first deployment.
    if built.exists():
        shutil.copytree(built, folder / "build")
    return Project(folder, project.emulator)


def configurations(stage: Stage) -> dict[str, dict[str, Any]]:
    """The configuration of each function of a stage."""
    prefix = stage.resource("")
    found = stage.emulator.client("lambda").get_paginator("list_functions").paginate().search("Functions[]")
    return {
        one["FunctionName"].removeprefix(prefix): {key: one[key] for key in CONFIGURATION}
        for one in found
        if one["FunctionName"].startswith(prefix)
    }


def inventory(emulator: Emulator) -> set[str]:
    """All existing resources, by kind and name."""
    return {
        f"{service} {name}"
        for service, operation, arguments, names in KINDS
        for name in emulator.client(service).get_paginator(operation).paginate(**arguments).search(names)
    }
