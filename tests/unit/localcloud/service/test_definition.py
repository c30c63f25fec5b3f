from __future__ import annotations

import re
from pathlib import Path

import pytest

from localcloud.errors import ServiceError
from localcloud.service.definition import load_service
from localcloud.service.model import QueueMapping, Redrive, Route, Service, with_ids
from localcloud.service.template import parse_yaml
from tests.conftest import REGION, ROOT

FILE = (ROOT / "serverless.yml").read_text()
PATTERN = "a non-empty mapping to a non-empty list of text"


def load(tmp_path: Path, text: str, **params: str) -> Service:
    path = tmp_path / "serverless.yml"
    path.write_text(text)
    return load_service(path, stage="dev", region=REGION, params=params)


def test_the_file_describes_every_route_and_function(unit_service: Service) -> None:
    """Routes, functions and settings come from serverless.yml alone."""
    assert set(unit_service.routes) == set(re.findall(r"^          route: (\S+)$", FILE, re.MULTILINE))
    assert set(unit_service.functions) == set(parse_yaml(FILE)["functions"])
    actions = unit_service.functions["default"].environment["ACTIONS"].split(", ")
    assert actions == [route for route in unit_service.routes if not route.startswith("$")]
    assert "ACTIONS" not in unit_service.functions["ping"].environment
    assert unit_service.routes["$connect"] == Route(
        "$connect", "connect", responds=False, authorizer="authorize"
    )
    assert unit_service.routes["sendMessage"].responds
    assert unit_service.functions["fanoutMessage"].timeout_s == 30
    assert unit_service.functions["connect"].timeout_s == 10
    environment = unit_service.functions["connect"].environment
    assert environment["CONNECTIONS_TABLE"] == "groupcast-unit-connections"
    assert environment["MANAGEMENT_ENDPOINT"] == "https://localcloud.execute-api.us-east-1.amazonaws.com/unit"


def test_tables_queues_and_the_stream(unit_service: Service) -> None:
    """Definitions match CreateTable, and the mapping has all of AWS's parameters."""
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
    assert (mapping.max_retries, mapping.max_record_age_s) == (100, 3600)
    assert mapping.filters == ({"eventName": ["INSERT"]},)
    assert mapping.on_failure_queue == "FanoutFailures"


def test_the_queue_of_leftovers_and_its_function(unit_service: Service) -> None:
    """The mapping, and the queue's dead-letter queue."""
    queue = unit_service.queues["RetryQueue"]
    assert queue.attributes == {"VisibilityTimeout": "180"}
    assert queue.redrive == Redrive("FanoutFailures", 5)
    assert unit_service.queues["FanoutFailures"].redrive is None
    assert unit_service.queue_mappings[1:] == (
        QueueMapping("fanoutRetry", "RetryQueue", report_item_failures=True, maximum_concurrency=10),
    )
    environment = unit_service.functions["fanoutMessage"].environment
    assert environment["RETRY_QUEUE_URL"].endswith("/groupcast-unit-retry")


def test_the_lanes_and_the_second_trigger_of_their_function(unit_service: Service) -> None:
    """CreateQueue's attributes of a FIFO queue, and a function with a stream and a queue as triggers."""
    queue = unit_service.queues["DeliveryQueue"]
    assert (queue.name, queue.is_fifo, queue.redrive) == ("groupcast-unit-delivery.fifo", True, None)
    assert queue.attributes == {
        "FifoQueue": "true",
        "DeduplicationScope": "messageGroup",
        "FifoThroughputLimit": "perMessageGroupId",
        "VisibilityTimeout": "45",
        "MessageRetentionPeriod": "7200",
    }
    assert not unit_service.queues["RetryQueue"].is_fifo
    assert unit_service.queue_mappings[0] == QueueMapping(
        "fanoutMessage", "DeliveryQueue", report_item_failures=True, maximum_concurrency=100
    )
    environment = unit_service.functions["sendMessage"].environment
    assert environment["DELIVERY_QUEUE_URL"].endswith("/groupcast-unit-delivery.fifo")


def test_a_number_may_be_text(tmp_path: Path) -> None:
    """As from --param."""
    service = load(tmp_path, FILE, deliveryConcurrency="7")
    assert service.queue_mappings[0].maximum_concurrency == 7


def test_attributes_of_a_fifo_queue(tmp_path: Path) -> None:
    """Booleans and numbers may be text; a generated name gets the ending .fifo."""
    text = FILE.replace("          QueueName: ${self:service}-${sls:stage}-delivery.fifo\n", "").replace(
        "          FifoQueue: true\n",
        """          FifoQueue: "true"
          ContentBasedDeduplication: false
          MaximumMessageSize: "262144"
""",
    )
    queue = load(tmp_path, text).queues["DeliveryQueue"]
    assert queue.name == "DeliveryQueue.fifo"
    assert queue.attributes["ContentBasedDeduplication"] == "false"
    assert queue.attributes["MaximumMessageSize"] == "262144"


def test_a_dead_letter_queue_has_the_type_of_its_queue(tmp_path: Path) -> None:
    """FIFO or standard."""
    redrive = "RedrivePolicy: { deadLetterTargetArn: !GetAtt Dead.Arn, maxReceiveCount: 3 }"
    dead = "Dead: { Type: AWS::SQS::Queue, Properties: { FifoQueue: true } }"
    text = FILE.replace("          FifoQueue: true\n", f"          FifoQueue: true\n          {redrive}\n")
    text = text.replace("      DeliveryQueue:\n", f"      {dead}\n      DeliveryQueue:\n")
    assert load(tmp_path, text).queues["DeliveryQueue"].redrive == Redrive("Dead", 3)


def test_the_user_pool_and_its_client(unit_service: Service) -> None:
    """The arguments of CreateUserPool and CreateUserPoolClient, with the right types."""
    pool = unit_service.user_pools["UserPool"]
    assert pool.definition["PoolName"] == "groupcast-unit"
    assert pool.definition["AdminCreateUserConfig"] == {"AllowAdminCreateUserOnly": True}
    assert pool.definition["Policies"]["PasswordPolicy"]["MinimumLength"] == 12
    client = unit_service.user_pool_clients["UserPoolClient"]
    assert client.user_pool == "UserPool"
    assert "ALLOW_USER_PASSWORD_AUTH" in client.definition["ExplicitAuthFlows"]
    assert client.definition["AccessTokenValidity"] == 60
    assert client.definition["TokenValidityUnits"]["AccessToken"] == "minutes"
    assert client.definition["GenerateSecret"] is False
    assert "UserPoolId" not in client.definition


def test_ids_known_only_after_creation_are_filled_in(tmp_path: Path) -> None:
    """A Ref of the pool is a placeholder until then, even inside a longer text."""
    text = FILE.replace(
        "    TOKEN_USE:", "    BOTH: !Sub ${UserPool}/${UserPoolClient}/${UserPool}\n    TOKEN_USE:"
    )
    service = load(tmp_path, text)
    made = with_ids(service, {"UserPool": "us-east-1_a", "UserPoolClient": "b"})
    before, after = (one.functions["connect"].environment for one in (service, made))
    assert (before["USER_POOL_ID"], before["USER_POOL_CLIENT_ID"]) == ("<UserPool>", "<UserPoolClient>")
    assert (after["USER_POOL_ID"], after["USER_POOL_CLIENT_ID"]) == ("us-east-1_a", "b")
    assert after["BOTH"] == "us-east-1_a/b/us-east-1_a"
    assert {name for name in after if after[name] != before[name]} == {
        "USER_POOL_ID",
        "USER_POOL_CLIENT_ID",
        "BOTH",
    }


PRODUCTION = """
service: shop
provider:
  name: aws
  logs: { websocket: { level: ERROR, fullExecutionData: false } }
  tags: { team: chat }
  stackTags: { team: chat }
plugins: [serverless-iam-roles]
custom:
  trust: &trust
    Version: "2012-10-17"
    Statement: [{ Effect: Allow, Action: sts:AssumeRole, Principal: { Service: lambda.amazonaws.com } }]
functions:
  hello:
    handler: shop.hello
    role: !GetAtt HelloRole.Arn
    reservedConcurrency: 5
resources:
  Description: a shop
  Conditions:
    IsProduction: !Equals ["${sls:stage}", production]
    Alarmed: !And [!Condition IsProduction, !Not [!Equals [!Ref AWS::Region, x]]]
  extensions:
    HelloLogGroup: { Properties: { RetentionInDays: 7 } }
  Resources:
    Table:
      Type: AWS::DynamoDB::Table
      DeletionPolicy: Retain
      UpdateReplacePolicy: Retain
      Condition: IsProduction
      Properties:
        AttributeDefinitions: [{ AttributeName: id, AttributeType: S }]
        KeySchema: [{ AttributeName: id, KeyType: HASH }]
        SSESpecification: { SSEEnabled: !If [IsProduction, true, false] }
        PointInTimeRecoverySpecification: { PointInTimeRecoveryEnabled: true }
    HelloRole:
      Type: AWS::IAM::Role
      Properties:
        AssumeRolePolicyDocument: *trust
        Policies:
          - PolicyName: hello
            PolicyDocument:
              <<: *trust
              Statement: !If [IsProduction, [{ Resource: !Sub ["${A}/*", { A: !GetAtt Table.Arn }] }], []]
    Logs: { Type: AWS::Logs::LogGroup, Properties: { LogGroupName: !Join ["/", [a, !Ref AWS::StackName]] } }
    Alarm: { Type: AWS::CloudWatch::Alarm, Properties: { Threshold: 1 } }
    Account: { Type: AWS::ApiGateway::Account }
    Allowed: { Type: AWS::Lambda::Permission }
  Outputs:
    Arn: { Value: !GetAtt Table.Arn, Condition: IsProduction }
"""


def test_resources_only_for_aws_are_ignored(tmp_path: Path) -> None:
    """Roles, logs, alarms, conditions, tags, anchors and intrinsics that nothing local uses."""
    service = load(tmp_path, PRODUCTION)
    assert list(service.tables) == ["Table"]
    assert set(service.tables["Table"].definition) == {"AttributeDefinitions", "KeySchema", "TableName"}
    assert list(service.functions) == ["hello"]


def test_off_is_a_string(tmp_path: Path) -> None:
    """YAML 1.2: MfaConfiguration: OFF is not a boolean."""
    text = FILE.replace("GenerateSecret: false", "GenerateSecret: 'false'")
    text = re.sub(r"( +)UserPoolName:", r"\1MfaConfiguration: OFF\n\1UserPoolName:", text)
    service = load(tmp_path, text)
    assert service.user_pools["UserPool"].definition["MfaConfiguration"] == "OFF"
    assert service.user_pool_clients["UserPoolClient"].definition["GenerateSecret"] is False


def test_a_disabled_queue_event_is_left_out(tmp_path: Path) -> None:
    """`enabled: false` is a mapping without polling."""
    text = FILE.replace("maximumBatchingWindow: 0", "enabled: false")
    assert [mapping.queue for mapping in load(tmp_path, text).queue_mappings] == ["DeliveryQueue"]


def test_a_parameter_can_be_overridden(tmp_path: Path) -> None:
    """As by --param."""
    service = load(tmp_path, FILE, retentionDays="7")
    assert service.functions["connect"].environment["RETENTION_DAYS"] == "7"


def with_timeouts(**timeouts: int) -> Service:
    path = ROOT / "serverless.yml"
    return load_service(path, stage="dev", region=REGION, params={}, timeouts=timeouts)


def test_a_timeout_can_be_overridden() -> None:
    """As by --timeout, for that function only."""
    changed, untouched = with_timeouts(ping=3), with_timeouts()
    assert changed.functions["ping"].timeout_s == 3 != untouched.functions["ping"].timeout_s
    assert {**changed.functions, "ping": None} == {**untouched.functions, "ping": None}


def test_impossible_timeouts_are_refused() -> None:
    """An unknown function, with the known ones listed, and a timeout over its queue's visibility timeout."""
    with pytest.raises(ServiceError, match="no function pin; there are authorize, connect"):
        with_timeouts(pin=3)
    visibility_s = int(with_timeouts().queues["RetryQueue"].attributes["VisibilityTimeout"])
    assert with_timeouts(fanoutRetry=visibility_s).functions["fanoutRetry"].timeout_s == visibility_s
    with pytest.raises(ServiceError, match="must be at least fanoutRetry's timeout"):
        with_timeouts(fanoutRetry=visibility_s + 1)


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
        ("\n  memorySize: 512", "\n  memorysize: 512", "provider: unknown setting memorysize"),
        ("frameworkVersion:", "frameworkVersions:", "top level: unknown setting frameworkVersions"),
        ("BillingMode: PAY_PER_REQUEST", "BillingMod: PAY_PER_REQUEST", "did you mean BillingMode"),
        ("!GetAtt MessagesTable.StreamArn", "!GetAtt GroupsTable.StreamArn", "is not a table with a stream"),
        ("!GetAtt MessagesTable.StreamArn", "arn:aws:x", "must be !GetAtt"),
        ("            name: authorize", "            name: authorise", "there is no function authorise"),
        ("!Ref GroupsTable", "!Ref GroupTable", "GroupTable is not a resource"),
        ("${param:logLevel}", "${param:logLevl}", "${param:logLevl} has no value"),
        ("              arn: !GetAtt FanoutFailures.Arn", "              arn: !GetAtt Nope.Arn", "SQS queue"),
        ("service: groupcast", "service: [", "not valid YAML"),
        ("maximumBatchingWindow: 0", "maximumBatchWindow: 0", "did you mean maximumBatchingWindow"),
        ("          batchSize: 10\n", "          batchSize: 11\n", "sqs: batchSize must be 1 to 10, not 11"),
        ("maximumBatchingWindow: 0", "maximumBatchingWindow: x", "maximumBatchingWindow must be 0 to 300"),
        ("${param:deliveryConcurrency}", "1", "maximumConcurrency must be 2 to 1000, not 1"),
        ("${param:deliveryConcurrency}", "1001", "maximumConcurrency must be 2 to 1000, not 1001"),
        ("${param:deliveryConcurrency}", "true", "maximumConcurrency must be 2 to 1000, not True"),
        ("${param:deliveryConcurrency}", "many", "maximumConcurrency must be 2 to 1000, not 'many'"),
        (
            "${param:deliveryConcurrency}",
            "100\n          maximumBatchingWindow: 1",
            "a FIFO queue allows no maximumBatchingWindow",
        ),
        ("VisibilityTimeout: 45", "VisibilityTimeout: 29", "must be at least fanoutMessage's timeout"),
        ("VisibilityTimeout: 45", "VisibilityTimeout: 43201", "VisibilityTimeout must be 0 to 43200"),
        ("FifoQueue: true", "FifoQueue: yes", "FifoQueue must be true or false, not 'yes'"),
        ("-delivery.fifo", "-delivery", "QueueName must end in .fifo"),
        ("-retry", "-retry.fifo", "QueueName must end in .fifo"),
        ("          FifoQueue: true\n", "", "QueueName must end in .fifo"),
        (
            "DeduplicationScope: messageGroup",
            "DeduplicationScope: group",
            "DeduplicationScope must be messageGroup or queue, not 'group'",
        ),
        ("DeduplicationScope: messageGroup", "DeduplicationScope: queue", "needs DeduplicationScope"),
        (
            "FifoThroughputLimit: perMessageGroupId",
            "FifoThroughputLimit: none",
            "FifoThroughputLimit must be perMessageGroupId or perQueue, not 'none'",
        ),
        (
            "          FifoQueue: true\n",
            """          FifoQueue: true
          RedrivePolicy: { deadLetterTargetArn: !GetAtt FanoutFailures.Arn, maxReceiveCount: 3 }
""",
            "DeliveryQueue: the dead-letter queue of a FIFO queue must be FIFO, too",
        ),
        (
            "deadLetterTargetArn: !GetAtt FanoutFailures.Arn",
            "deadLetterTargetArn: !GetAtt DeliveryQueue.Arn",
            "RetryQueue: the dead-letter queue of a standard queue must be standard, too",
        ),
        (
            "QueueName: ${self:service}-${sls:stage}-retry",
            "ContentBasedDeduplication: true",
            "ContentBasedDeduplication is for FIFO queues alone",
        ),
        (
            "              arn: !GetAtt FanoutFailures.Arn",
            "              arn: !GetAtt DeliveryQueue.Arn",
            "Lambda does not send failures to a FIFO queue",
        ),
        (
            "!GetAtt RetryQueue.Arn\n          batch",
            "!GetAtt GroupsTable.Arn\n          batch",
            "is not a queue",
        ),
        (
            "functionResponseType: ReportBatchItemFailures",
            "functionResponseType: ReportItemFailures",
            "functionResponseType must be ReportBatchItemFailures, not 'ReportItemFailures'",
        ),
        ("VisibilityTimeout: 180", "VisibilityTimeout: 20", "must be at least fanoutRetry's timeout"),
        ("maxReceiveCount: 5", "maxReceivedCount: 5", "did you mean maxReceiveCount"),
        ("maxReceiveCount: 5", "maxReceiveCount: 0", "maxReceiveCount must be 1 to 1000"),
        ("deadLetterTargetArn: !GetAtt FanoutFailures.Arn", "deadLetterTargetArn: x", "must be !GetAtt"),
        (
            "deadLetterTargetArn: !GetAtt FanoutFailures.Arn",
            "deadLetterTargetArn: !GetAtt GroupsTable.Arn",
            "GroupsTable is not a queue",
        ),
        ("UserPoolName:", "UserPoolNam:", "did you mean UserPoolName"),
        ("MinimumLength: 12", "MinimumLength: !If [Strict, 20, 12]", "does not resolve Fn::If"),
        ("ExplicitAuthFlows:", "ExplicitAuthFlow:", "did you mean ExplicitAuthFlows"),
        ("UserPoolId: !Ref UserPool\n", "UserPoolId: !Ref GroupsTable\n", "GroupsTable is not a user pool"),
        ("UserPoolId: !Ref UserPool\n", "UserPoolId: us-east-1_x\n", "UserPoolId: must be !Ref"),
        ("USER_POOL_ID: !Ref UserPool", "USER_POOL_ID: !GetAtt UserPool.Arn", "not resolve Fn::GetAtt"),
        ("Type: AWS::Cognito::UserPool\n", "Typ: x\n", "resources.UserPool: unknown setting Typ"),
        ("batchSize: 100", "batchSize: 0", "events[0].stream: batchSize must be 1 to 10000, not 0"),
        ("batchSize: 100", "batchSize: 10001", "batchSize must be 1 to 10000, not 10001"),
        ("batchWindow: 0", "batchWindow: 301", "batchWindow must be 0 to 300, not 301"),
        ("parallelizationFactor: 2", "parallelizationFactor: 11", "parallelizationFactor must be 1 to 10"),
        ("RetryAttempts: 100", "RetryAttempts: -2", "maximumRetryAttempts must be -1 to 10000, not -2"),
        ("InSeconds: 3600", "InSeconds: 59", "maximumRecordAgeInSeconds must be -1 or at least 60"),
        ("InSeconds: 3600", "InSeconds: 604801", "maximumRecordAgeInSeconds must be -1 to 604800"),
        ("TRIM_HORIZON", "AT_TIMESTAMP", "must be LATEST or TRIM_HORIZON, not 'AT_TIMESTAMP'"),
        *(
            ("- eventName: [INSERT]", f"- {wrong}", f"filterPatterns[0] must be {PATTERN}, not {shown}")
            for wrong, shown in (
                ("{}", "{}"),
                ("[]", "[]"),
                ("eventName: INSERT", "{'eventName': 'INSERT'}"),
                ("eventName: []", "{'eventName': []}"),
                ("eventName: [{ prefix: IN }]", "{'eventName': [{'prefix': 'IN'}]}"),
                ("dynamodb: { SizeBytes: [120] }", "{'dynamodb': {'SizeBytes': [120]}}"),
            )
        ),
        (
            "memorySize: 1024",
            "memorySize: lots",
            "functions.joinGroup: memorySize must be 128 to 10240, not 'lots'",
        ),
        ("    timeout: 5", "    timeout: 901", "functions.sendMessage: timeout must be 1 to 900, not 901"),
        (
            "      - websocket:",
            "      - webSocket:",
            "events[0]: unknown setting webSocket; did you mean websocket?",
        ),
        (" Outputs:\n", " Output:\n", "resources: unknown setting Output; did you mean Outputs"),
    ],
)
def test_a_misspelt_or_impossible_setting_is_named(
    tmp_path: Path, old: str, new: str, complaint: str
) -> None:
    """No setting is silently ignored: the error has its place and a suggestion."""
    assert old in FILE
    with pytest.raises(ServiceError) as caught:
        load(tmp_path, FILE.replace(old, new, 1))
    assert complaint in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_unknown_parameter_is_named(tmp_path: Path) -> None:
    """--param with a name that the file lacks."""
    with pytest.raises(ServiceError, match="no parameter colour"):
        load(tmp_path, FILE, colour="blue")


def test_a_missing_or_shapeless_section_is_named(tmp_path: Path) -> None:
    """Not a traceback."""
    for text, complaint in (
        ("provider: {}", "serverless.yml: top level: service is missing"),
        (
            "service: shop\nfunctions: [a]",
            "serverless.yml: top level: functions must be a mapping, not ['a']",
        ),
        ("service: shop\nfunctions: { a: b }", "serverless.yml: functions.a must be a mapping, not 'b'"),
        ("[]", "serverless.yml: must be a mapping"),
    ):
        with pytest.raises(ServiceError) as caught:
            load(tmp_path, text)
        assert str(caught.value) == complaint


def test_a_missing_file_has_a_clear_error(tmp_path: Path) -> None:
    """For users who start it in the wrong folder."""
    with pytest.raises(ServiceError, match=r"cannot read serverless\.yml"):
        load_service(tmp_path / "serverless.yml", stage="dev", region=REGION, params={})


def test_a_variable_that_refers_to_itself_is_an_error(tmp_path: Path) -> None:
    """Instead of a stack overflow."""
    with pytest.raises(ServiceError, match="refers to itself"):
        load(tmp_path, "service: ${self:provider.name}\nprovider:\n  name: ${self:service}\n")
