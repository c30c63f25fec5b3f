"""Encryption keys of tables, queues and alarms: AWS-owned ones, which are free, or the operator's."""

from __future__ import annotations

import json
import subprocess

import pytest

from groupcast_cli.cost.estimate import KEY_CALLERS_OF_QUEUES, KEY_CALLERS_OF_TABLES
from tests.conftest import ROOT
from tests.template.conftest import OSLS, PACKAGE_TIMEOUT_S, Package, Template
from tests.template.test_permissions import ALLOWED

KEY = "arn:aws:kms:us-east-1:123456789012:key/11111111-2222-3333-4444-555555555555"


@pytest.fixture(scope="module")
def encrypted(package: Package) -> Template:
    """A stage with a customer's key."""
    return package("dev", f"kmsKeyArn={KEY}")


def test_aws_owned_keys_are_the_default(template: Template) -> None:
    """SSEEnabled would select the AWS-managed key, which is billed; queues use SQS's own."""
    for table in template.of_type("AWS::DynamoDB::Table").values():
        assert "SSESpecification" not in table
    for queue in template.of_type("AWS::SQS::Queue").values():
        assert queue["SqsManagedSseEnabled"] is True
    assert "kms" not in json.dumps(template.document).lower()


def test_a_customers_key_encrypts_tables_queues_and_alarms(encrypted: Template) -> None:
    """All five tables, all three queues, and the topic of alarms."""
    tables = encrypted.of_type("AWS::DynamoDB::Table").values()
    queues = encrypted.of_type("AWS::SQS::Queue").values()
    assert (len(tables), len(queues)) == (5, 3)
    for table in tables:
        specification = {"SSEEnabled": True, "SSEType": "KMS", "KMSMasterKeyId": KEY}
        assert table["SSESpecification"] == specification
    for queue in queues:
        assert queue["KmsMasterKeyId"] == KEY
        assert queue["SqsManagedSseEnabled"] == {"Ref": "AWS::NoValue"}
    (topic,) = encrypted.of_type("AWS::SNS::Topic").values()
    assert topic["KmsMasterKeyId"] == KEY


def uses_of_the_key(template: Template) -> dict[str, set[str]]:
    """The actions that each role may do with the key, and only with it."""
    found: dict[str, set[str]] = {}
    for name, role in template.of_type("AWS::IAM::Role").items():
        for policy in role.get("Policies", ()):
            for statement in policy["PolicyDocument"]["Statement"]:
                if "kms:" in json.dumps(statement["Action"]):
                    assert (statement["Effect"], statement["Resource"]) == ("Allow", KEY)
                    found.setdefault(name, set()).add(statement["Action"])
    return found


@pytest.mark.parametrize("function", ALLOWED)
def test_a_function_uses_the_key_for_its_own_calls(encrypted: Template, function: str) -> None:
    """DynamoDB and SQS decrypt on behalf of callers; only sending to a queue creates a data key."""
    calls = {action for action, _ in ALLOWED[function]}
    expected = set()
    if any(action.startswith(("dynamodb:", "sqs:")) for action in calls):
        expected.add("kms:Decrypt")
    if "sqs:SendMessage" in calls:
        expected.add("kms:GenerateDataKey")
    role = f"{function[0].upper()}{function[1:]}Role"
    assert uses_of_the_key(encrypted).get(role, set()) == expected


@pytest.mark.parametrize(
    ("key", "problem"),
    [
        ("arn:aws:kms:us-east-1:123456789012:alias/chat", "kmsKeyArn must be a key's ARN"),
        (KEY.replace("us-east-1", "eu-west-1"), "kmsKeyArn is in eu-west-1, but the stage is in us-east-1"),
    ],
)
def test_an_unusable_key_is_refused(key: str, problem: str) -> None:
    """Before anything is deployed: IAM grants nothing on an alias, and a key belongs to one region."""
    done = subprocess.run(
        [*OSLS, "print", "--param", f"kmsKeyArn={key}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PACKAGE_TIMEOUT_S,
        check=False,
    )
    assert done.returncode != 0
    assert problem in done.stdout + done.stderr


def test_the_bill_counts_uses_of_the_key() -> None:
    """A caller of a table or queue requests its key now and then; a queue's sender requests it twice."""
    tables = {
        (function, resource.partition("/")[0])
        for function, grants in ALLOWED.items()
        for action, resource in grants
        if action.startswith("dynamodb:") and "stream" not in resource
    }
    weights = {"sqs:SendMessage": 2, "sqs:ReceiveMessage": 1}
    queues = [weights.get(action, 0) for grants in ALLOWED.values() for action, _ in grants]
    assert (len(tables), sum(queues)) == (KEY_CALLERS_OF_TABLES, KEY_CALLERS_OF_QUEUES)
