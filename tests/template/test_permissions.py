"""Each deployed function's permissions: exactly this list."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.template.conftest import Template

CONNECTIONS, GROUPS, MESSAGES = "ConnectionsTable", "GroupsTable", "MessagesTable"
QUOTAS, MARKS = "QuotasTable", "ReadMarksTable"
MEMBERS, LOG = "ConnectionsTable/index/GroupIdIndex", "MessagesTable/index/GroupSeqIndex"
POST, DELETE = "POST/@connections", "DELETE/@connections"

ALLOWED: dict[str, set[tuple[str, str]]] = {
    "authorize": set(),
    "connect": {
        ("dynamodb:PutItem", CONNECTIONS),
        ("dynamodb:DeleteItem", CONNECTIONS),
        ("dynamodb:BatchGetItem", CONNECTIONS),
        ("dynamodb:UpdateItem", QUOTAS),
    },
    "disconnect": {
        ("dynamodb:DeleteItem", CONNECTIONS),
        ("dynamodb:BatchWriteItem", CONNECTIONS),
        ("dynamodb:Query", CONNECTIONS),
        ("dynamodb:UpdateItem", QUOTAS),
    },
    "joinGroup": {
        ("dynamodb:GetItem", CONNECTIONS),
        ("dynamodb:UpdateItem", CONNECTIONS),
        ("dynamodb:PutItem", CONNECTIONS),
        ("dynamodb:DeleteItem", CONNECTIONS),
        ("dynamodb:BatchGetItem", GROUPS),
        ("dynamodb:BatchGetItem", MARKS),
        ("dynamodb:Query", LOG),
        ("dynamodb:UpdateItem", QUOTAS),
    },
    "leaveGroup": {
        ("dynamodb:GetItem", CONNECTIONS),
        ("dynamodb:UpdateItem", CONNECTIONS),
        ("dynamodb:DeleteItem", CONNECTIONS),
        ("dynamodb:UpdateItem", QUOTAS),
    },
    "sendMessage": {
        ("dynamodb:GetItem", CONNECTIONS),
        ("dynamodb:UpdateItem", QUOTAS),
        ("dynamodb:UpdateItem", GROUPS),
        ("dynamodb:GetItem", MESSAGES),
        ("dynamodb:PutItem", MESSAGES),
        ("sqs:SendMessage", "DeliveryQueue"),
    },
    "history": {
        ("dynamodb:GetItem", CONNECTIONS),
        ("dynamodb:GetItem", GROUPS),
        ("dynamodb:Query", LOG),
        ("dynamodb:UpdateItem", QUOTAS),
    },
    "ping": {
        ("dynamodb:GetItem", CONNECTIONS),
        ("dynamodb:BatchGetItem", GROUPS),
        ("dynamodb:BatchGetItem", MARKS),
        ("dynamodb:UpdateItem", QUOTAS),
    },
    "markRead": {
        ("dynamodb:GetItem", CONNECTIONS),
        ("dynamodb:GetItem", GROUPS),
        ("dynamodb:UpdateItem", MARKS),
        ("dynamodb:UpdateItem", QUOTAS),
    },
    "renew": {
        ("dynamodb:GetItem", CONNECTIONS),
        ("dynamodb:UpdateItem", CONNECTIONS),
        ("dynamodb:PutItem", CONNECTIONS),
        ("dynamodb:DeleteItem", CONNECTIONS),
        ("dynamodb:UpdateItem", QUOTAS),
    },
    "default": set(),
    "fanoutMessage": {
        ("dynamodb:DescribeStream", "MessagesTable stream"),
        ("dynamodb:GetRecords", "MessagesTable stream"),
        ("dynamodb:GetShardIterator", "MessagesTable stream"),
        ("dynamodb:ListStreams", "MessagesTable stream"),
        ("dynamodb:Query", MEMBERS),
        ("dynamodb:BatchGetItem", CONNECTIONS),
        ("dynamodb:BatchWriteItem", CONNECTIONS),
        ("execute-api:ManageConnections", POST),
        ("execute-api:ManageConnections", DELETE),
        ("dynamodb:Query", LOG),
        ("dynamodb:GetItem", GROUPS),
        ("dynamodb:UpdateItem", GROUPS),
        ("dynamodb:UpdateItem", QUOTAS),
        ("dynamodb:BatchGetItem", QUOTAS),
        ("sqs:SendMessage", "DeliveryQueue"),
        ("sqs:ReceiveMessage", "DeliveryQueue"),
        ("sqs:DeleteMessage", "DeliveryQueue"),
        ("sqs:GetQueueAttributes", "DeliveryQueue"),
        ("sqs:ChangeMessageVisibility", "DeliveryQueue"),
        ("sqs:SendMessage", "RetryQueue"),
        ("sqs:SendMessage", "FanoutFailures"),
    },
    "fanoutRetry": {
        ("sqs:ReceiveMessage", "RetryQueue"),
        ("sqs:DeleteMessage", "RetryQueue"),
        ("sqs:GetQueueAttributes", "RetryQueue"),
        ("sqs:SendMessage", "RetryQueue"),
        ("dynamodb:BatchGetItem", MESSAGES),
        ("dynamodb:Query", MEMBERS),
        ("dynamodb:UpdateItem", QUOTAS),
        ("dynamodb:BatchGetItem", QUOTAS),
        ("dynamodb:BatchGetItem", CONNECTIONS),
        ("dynamodb:BatchWriteItem", CONNECTIONS),
        ("execute-api:ManageConnections", POST),
        ("execute-api:ManageConnections", DELETE),
        ("sqs:SendMessage", "FanoutFailures"),
    },
}
# Every function has these; X-Ray has no resources, so this is the only `*`.
TRACES = {("xray:PutTraceSegments", "*"), ("xray:PutTelemetryRecords", "*")}


def logs_of(function: str) -> set[tuple[str, str]]:
    """Writing to the function's own log group."""
    group = f"{function[0].upper()}{function[1:]}LogGroup"
    return {("logs:CreateLogStream", group), ("logs:PutLogEvents", group)}


def role_of(template: Template, function: str) -> dict[str, Any]:
    logical_id = f"{function[0].upper()}{function[1:]}LambdaFunction"
    role: str = template.resources[logical_id]["Properties"]["Role"]["Fn::GetAtt"][0]
    properties: dict[str, Any] = template.resources[role]["Properties"]
    return properties


def short(resource: Any) -> str:
    """A resource as the lists above have it; one that they don't know stays as it is."""
    match resource:
        case str():
            return resource
        case {"Fn::GetAtt": [owner, "Arn"]}:
            return str(owner)
        case {"Fn::GetAtt": [owner, "StreamArn"]}:
            return f"{owner} stream"
        case {"Fn::Sub": str(text)}:
            stage = "${WebsocketsApi}/dev/"
            text = text.replace("${ConnectionsTable.Arn}", CONNECTIONS).replace(
                "${MessagesTable.Arn}", MESSAGES
            )
            prefix = "arn:${AWS::Partition}:execute-api:${AWS::Region}:${AWS::AccountId}:" + stage
            return text.removeprefix(prefix).removesuffix("/*") if text.startswith(prefix) else text
    return json.dumps(resource)


def granted(role: dict[str, Any]) -> set[tuple[str, str]]:
    found = set()
    for policy in role["Policies"]:
        for statement in policy["PolicyDocument"]["Statement"]:
            assert set(statement) <= {"Effect", "Action", "Resource", "Sid"}
            assert statement["Effect"] == "Allow"
            actions, resources = (
                value if isinstance(value, list) else [value]
                for value in (statement["Action"], statement["Resource"])
            )
            found |= {(action, short(resource)) for action in actions for resource in resources}
    return found


def test_every_function_is_in_the_list(template: Template) -> None:
    """A new function must list its permissions."""
    functions = {
        name.removesuffix("LambdaFunction")
        for name in template.of_type("AWS::Lambda::Function")
        if name.endswith("LambdaFunction")
    }
    assert functions == {name[0].upper() + name[1:] for name in ALLOWED}


@pytest.mark.parametrize("function", ALLOWED)
def test_a_function_has_exactly_the_listed_permissions(template: Template, function: str) -> None:
    """In one role of its own, which only Lambda can assume."""
    role = role_of(template, function)
    assert granted(role) == ALLOWED[function] | logs_of(function) | TRACES
    assert set(role) <= {"AssumeRolePolicyDocument", "Policies"}
    (trust,) = role["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Principal"] == {"Service": "lambda.amazonaws.com"}
    sharing = [name for name in ALLOWED if role_of(template, name) is role]
    assert sharing == [function]
