from __future__ import annotations

from pathlib import Path

import pytest

from localcloud.errors import ServiceError
from localcloud.model import QueueMapping, Redrive, Route, Service
from localcloud.service import load_service
from tests.conftest import REGION, ROOT

FILE = (ROOT / "serverless.yml").read_text()


def load(tmp_path: Path, text: str, **params: str) -> Service:
    path = tmp_path / "serverless.yml"
    path.write_text(text)
    return load_service(path, stage="dev", region=REGION, params=params)


def test_the_file_describes_every_route_and_function(unit_service: Service) -> None:
    """Routes, functions and settings are those of serverless.yml, nothing is listed a second time."""
    assert set(unit_service.routes) == {
        "$connect",
        "$disconnect",
        "$default",
        "joinGroup",
        "leaveGroup",
        "sendMessage",
        "history",
        "ping",
    }
    assert unit_service.routes["$connect"] == Route(
        "$connect", "connect", responds=False, authorizer="authorize"
    )
    assert unit_service.routes["sendMessage"].responds
    assert unit_service.functions["fanoutMessage"].timeout_s == 60
    assert unit_service.functions["connect"].timeout_s == 10
    environment = unit_service.functions["connect"].environment
    assert environment["CONNECTIONS_TABLE"] == "groupcast-unit-connections"
    assert environment["MANAGEMENT_ENDPOINT"] == "https://local.execute-api.us-east-1.amazonaws.com/unit"


def test_tables_queues_and_the_stream(unit_service: Service) -> None:
    """Definitions are CreateTable's, and the mapping has all that AWS is told."""
    messages = unit_service.tables["MessagesTable"]
    assert messages.definition["StreamSpecification"] == {
        "StreamEnabled": True,
        "StreamViewType": "NEW_IMAGE",
    }
    assert messages.ttl_attribute == "expiresAt"
    assert unit_service.tables["GroupsTable"].ttl_attribute is None
    assert unit_service.queues["FanoutFailures"].attributes == {"MessageRetentionPeriod": "1209600"}
    (mapping,) = unit_service.stream_mappings
    assert (mapping.function, mapping.table, mapping.batch_size) == ("fanoutMessage", "MessagesTable", 100)
    assert (mapping.bisect_on_error, mapping.report_item_failures) == (True, True)
    assert (mapping.max_retries, mapping.max_record_age_s) == (10, 3600)
    assert mapping.filters == ({"eventName": ["INSERT"]},)
    assert mapping.on_failure_queue == "FanoutFailures"


def test_the_queue_of_leftovers_and_its_function(unit_service: Service) -> None:
    """The mapping, and where the queue puts what nobody gets done."""
    queue = unit_service.queues["FanoutQueue"]
    assert queue.attributes == {"VisibilityTimeout": "180"}
    assert queue.redrive == Redrive("FanoutFailures", 5)
    assert unit_service.queues["FanoutFailures"].redrive is None
    assert unit_service.queue_mappings == (
        QueueMapping("fanoutSegment", "FanoutQueue", batch_size=10, window_s=0, report_item_failures=True),
    )
    environment = unit_service.functions["fanoutMessage"].environment
    assert environment["FANOUT_QUEUE_URL"].endswith("/groupcast-unit-fanout")


def test_a_disabled_queue_event_is_left_out(tmp_path: Path) -> None:
    """`enabled: false` is a mapping that nobody polls."""
    text = FILE.replace("maximumBatchingWindow: 0", "enabled: false")
    assert load(tmp_path, text).queue_mappings == ()


def test_a_parameter_can_be_overridden(tmp_path: Path) -> None:
    """As --param does on the command line."""
    service = load(tmp_path, FILE, retentionDays="7")
    assert service.functions["connect"].environment["RETENTION_DAYS"] == "7"


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("    batchSize: 100", "    batchsize: 100", "unknown setting batchsize; did you mean batchSize"),
        (
            "routeResponseSelectionExpression: $default",
            "routeResponse: $default",
            "unknown setting routeResponse",
        ),
        ("    handler: groupcast.handlers.ping.handler", "    handlr: x", "did you mean handler"),
        ("  memorySize: 512", "  memorysize: 512", "provider: unknown setting memorysize"),
        ("frameworkVersion:", "frameworkVersions:", "top level: unknown setting frameworkVersions"),
        ("BillingMode: PAY_PER_REQUEST", "BillingMod: PAY_PER_REQUEST", "did you mean BillingMode"),
        ("!GetAtt MessagesTable.StreamArn", "!GetAtt GroupsTable.StreamArn", "no table with a stream"),
        ("!GetAtt MessagesTable.StreamArn", "arn:aws:x", "must be !GetAtt"),
        ("            name: authorize", "            name: authorise", "no function authorise"),
        ("!Ref GroupsTable", "!Ref GroupTable", "GroupTable is not a resource"),
        ("${param:logLevel}", "${param:logLevl}", "${param:logLevl} stands for nothing"),
        ("              arn: !GetAtt FanoutFailures.Arn", "              arn: !GetAtt Nope.Arn", "SQS queue"),
        ("service: groupcast", "service: [", "not valid YAML"),
        ("maximumBatchingWindow: 0", "maximumBatchWindow: 0", "did you mean maximumBatchingWindow"),
        ("          batchSize: 10\n", "          batchSize: 11\n", "sqs: batchSize must be 1 to 10, not 11"),
        ("maximumBatchingWindow: 0", "maximumBatchingWindow: x", "maximumBatchingWindow must be 0 to 300"),
        (
            "!GetAtt FanoutQueue.Arn\n          batch",
            "!GetAtt GroupsTable.Arn\n          batch",
            "is no queue",
        ),
        (
            "functionResponseType: ReportBatchItemFailures",
            "functionResponseType: ReportItemFailures",
            "functionResponseType can be ReportBatchItemFailures",
        ),
        ("VisibilityTimeout: 180", "VisibilityTimeout: 20", "must be at least fanoutSegment's timeout"),
        ("maxReceiveCount: 5", "maxReceivedCount: 5", "did you mean maxReceiveCount"),
        ("maxReceiveCount: 5", "maxReceiveCount: 0", "maxReceiveCount must be 1 to 1000"),
        ("deadLetterTargetArn: !GetAtt FanoutFailures.Arn", "deadLetterTargetArn: x", "must be !GetAtt"),
        (
            "deadLetterTargetArn: !GetAtt FanoutFailures.Arn",
            "deadLetterTargetArn: !GetAtt GroupsTable.Arn",
            "GroupsTable is no queue",
        ),
    ],
)
def test_a_misspelt_or_impossible_setting_is_named(
    tmp_path: Path, old: str, new: str, complaint: str
) -> None:
    """No setting is silently ignored: the error says where it is and what was meant."""
    assert old in FILE
    with pytest.raises(ServiceError) as caught:
        load(tmp_path, FILE.replace(old, new, 1))
    assert complaint in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_unknown_parameter_is_named(tmp_path: Path) -> None:
    """--param with a name that the file does not have."""
    with pytest.raises(ServiceError, match="no parameter colour"):
        load(tmp_path, FILE, colour="blue")


def test_a_missing_file_is_said_plainly(tmp_path: Path) -> None:
    """Whoever starts it in the wrong folder learns what is missing."""
    with pytest.raises(ServiceError, match=r"cannot read serverless\.yml"):
        load_service(tmp_path / "serverless.yml", stage="dev", region=REGION, params={})


def test_a_variable_that_refers_to_itself_is_an_error(tmp_path: Path) -> None:
    """Not a stack overflow."""
    with pytest.raises(ServiceError, match="refers to itself"):
        load(tmp_path, "service: ${self:provider.name}\nprovider:\n  name: ${self:service}\n")
