"""`groupcast doctor` on a deployed stage: healthy, with a missing permission, and with many faults."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from groupcast_cli.doctor.checks import CHECKS, DRIFT, FIRST
from tests.conftest import GROUPCAST
from tests.deploy.emulator import ROOT_KEYS, Emulator
from tests.deploy.project import Project, Stage
from tests.deploy.users import PASSWORD, Users

pytestmark = pytest.mark.timeout(120)

TIMEOUT_S = 60
NAMES = [*(check.name for check in (*FIRST, *CHECKS)), "chat", "drift"]
WITHHELD = "dynamodb:DescribeTimeToLive"
TOKEN = "wrong-token-of-a-test"
# New connections per second: unchanged in that account.
UNCHANGED_QUOTA = b"L-9ED1E49A"
LONG_AGO = "Mon, 01 Jan 2024 00:00:00 GMT"
IDENTITY = (
    '<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult>'
    "<Arn>arn:aws:iam::000000000000:root</Arn><UserId>root</UserId><Account>000000000000</Account>"
    "</GetCallerIdentityResult></GetCallerIdentityResponse>"
)


@dataclass(frozen=True)
class Report:
    """The command's output with --json, and its exit code."""

    code: int
    out: str
    checks: dict[str, dict[str, Any]]

    def line(self, name: str) -> tuple[str, str]:
        return self.checks[name]["status"], self.checks[name]["text"]


@dataclass(frozen=True)
class ExaminedStage:
    """The stage of these tests, and its packaging folder."""

    stage: Stage
    folder: Path

    @property
    def emulator(self) -> Emulator:
        return self.stage.emulator

    def run(self, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        return subprocess.run(
            [GROUPCAST, "doctor", "--stage", self.stage.name, *options],
            cwd=self.folder,
            env={**inherited, **ROOT_KEYS, "AWS_CONFIG_FILE": os.devnull, **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )

    def examine(self, *options: str, **environment: str) -> Report:
        done = self.run("--json", *options, **environment)
        assert not done.stderr
        return Report(
            done.returncode, done.stdout, {one["name"]: one for one in json.loads(done.stdout)["checks"]}
        )


@pytest.fixture(scope="module")
def examined(project: Project, tmp_path_factory: pytest.TempPathFactory) -> ExaminedStage:
    """A stage of its own, because these tests break it, with the emulator's missing resources added."""
    stage = project.deploy("doctor")
    folder = tmp_path_factory.mktemp("doctor")
    shutil.copytree(project.folder / ".serverless", folder / ".serverless")
    Users(stage).add("ann")
    dynamodb, sns = (stage.emulator.client(service) for service in ("dynamodb", "sns"))
    for table in ("connections", "messages", "quotas"):
        expire(dynamodb, stage.resource(table), enabled=True)
    for table in ("connections", "messages", "groups", "read-marks"):
        recover(dynamodb, stage.resource(table), enabled=True)
    sns.subscribe(
        TopicArn=stage.outputs["AlarmTopicArn"],
        Protocol="sqs",
        Endpoint="arn:aws:sqs:us-east-1:000000000000:mail",
    )
    return ExaminedStage(stage, folder)


@pytest.fixture(scope="module")
def healthy(examined: ExaminedStage) -> subprocess.CompletedProcess[str]:
    """The command's output on the healthy stage."""
    return examined.run(
        "--user", "ann", "--endpoint-url", examined.emulator.endpoint, GROUPCAST_PASSWORD=PASSWORD
    )


@pytest.fixture(scope="module")
def restricted(healthy: object, examined: ExaminedStage) -> Report:
    """The same for an IAM user with all permissions in CHECKS except one action."""
    named = {action for check in (*FIRST, *CHECKS, DRIFT) for action in check.actions}
    iam = examined.emulator.client("iam")
    iam.create_user(UserName="doctor")
    statement = {"Effect": "Allow", "Action": sorted(named - {WITHHELD}), "Resource": "*"}
    iam.put_user_policy(
        UserName="doctor",
        PolicyName="doctor",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [statement]}),
    )
    key = iam.create_access_key(UserName="doctor")["AccessKey"]
    return examined.examine(
        "--no-chat",
        AWS_ENDPOINT_URL=examined.emulator.endpoint,
        AWS_ACCESS_KEY_ID=key["AccessKeyId"],
        AWS_SECRET_ACCESS_KEY=key["SecretAccessKey"],
    )


@pytest.fixture(scope="module")
def broken(restricted: object, examined: ExaminedStage) -> Report:
    """The stage with a fault for nearly every check, and fakes of APIs that the emulator lacks."""
    break_all(examined)
    with fake_aws() as fake:
        return examined.examine(
            AWS_ENDPOINT_URL=examined.emulator.endpoint,
            AWS_ENDPOINT_URL_SERVICE_QUOTAS=fake,
            AWS_ENDPOINT_URL_STS=fake,
            GROUPCAST_TOKEN=TOKEN,
        )


def test_a_healthy_stage_has_nothing_to_do(healthy: subprocess.CompletedProcess[str]) -> None:
    """One line per check, in order.

    Only features that the emulator lacks are skipped, and the chat is measured.
    """
    *lines, empty, summary = healthy.stdout.splitlines()
    assert [line[8:20].strip() for line in lines] == NAMES
    statuses = {line[8:20].strip(): line[:8].strip() for line in lines}
    assert statuses == {name: "skipped" if name == "connects" else "ok" for name in NAMES}, healthy.stdout
    assert "has no GetServiceQuota" in lines[NAMES.index("connects")]
    chat = lines[NAMES.index("chat")]
    for part in ("ann: connects ", "ack p50 ", "delivery p50 ", "; 0 lost, 0 duplicate of 40"):
        assert part in chat
    assert (empty, healthy.returncode, healthy.stderr) == ("", 0, "")
    assert summary.startswith("15 ok, 0 to do, 1 skipped, in ")
    # The start of a JWT.
    assert not any(secret in healthy.stdout for secret in (PASSWORD, "eyJ"))


def test_a_missing_permission_skips_one_check(restricted: Report) -> None:
    """The line names the action; the actions in CHECKS suffice for the other checks."""
    assert restricted.line("expiry") == ("skipped", f"these credentials lack the permission {WITHHELD}")
    others = {name: check["status"] for name, check in restricted.checks.items() if name != "expiry"}
    assert others == {name: "skipped" if name == "connects" else "ok" for name in others}
    assert list(restricted.checks) == [name for name in NAMES if name != "chat"]
    assert restricted.code == 0


@pytest.mark.parametrize(
    ("name", "phrases"),
    [
        ("clock", ("s ahead of AWS", "timedatectl")),
        ("template", ("changed here: RetryQueue", "not deployed: NewQueue", "osls package --stage doctor")),
        ("concurrency", ("reserved all but", "L-B99A9384")),
        (
            "requests",
            ("1,000 requests a second", "--param postsPerSecond=700 ", "L-8A5B8E43"),
        ),
        ("connects", ("1,000 new connections",)),
        ("log role", ("role for logs, arn:aws:iam::000000000000:role/gone, is gone", "update-account")),
        (
            "subscribers",
            ("reach nobody", "aws sns subscribe --topic-arn arn:aws:sns:us-east-1:"),
        ),
        ("alarms", ("FailuresWait in ALARM", "docs/operations.md")),
        ("failures", ("FanoutFailures holds 1", "groupcast failures --stage doctor")),
        (
            "expiry",
            ("doctor-quotas is missing", "off for groupcast-doctor-connections", "update-time-to-l"),
        ),
        (
            "recovery",
            ("off for groupcast-doctor-groups", "update-continuous-backups --table-name "),
        ),
        ("chat", ("HTTP status 500", "authorize")),
        (
            "drift",
            ("FanoutMessageLambda", "Timeout is 3, deployed as 30", "QuotasTable", "was deleted"),
        ),
    ],
)
def test_each_fault_is_named(broken: Report, name: str, phrases: tuple[str, ...]) -> None:
    """Each line names the faulty resource and the remedy."""
    status, text = broken.line(name)
    assert status == ("ok" if name == "connects" else "to do"), text
    for phrase in phrases:
        assert phrase in text


def test_faults_are_counted(broken: Report) -> None:
    """The exit code is 1, unaffected parts are still ok, and no token is printed."""
    assert broken.code == 1
    fine = ["credentials", "stack", "connects", "queues"]
    assert [name for name in NAMES if broken.line(name)[0] == "ok"] == fine
    assert TOKEN not in broken.out


def break_all(examined: ExaminedStage) -> None:
    """Break resources of the emulator, and change the local template."""
    client, name = examined.emulator.client, examined.stage.resource
    dynamodb, sns, sqs, functions = (client(one) for one in ("dynamodb", "sns", "sqs", "lambda"))
    expire(dynamodb, name("connections"), enabled=False)
    recover(dynamodb, name("groups"), enabled=False)
    dynamodb.delete_table(TableName=name("quotas"))
    sqs.send_message(
        QueueUrl=sqs.get_queue_url(QueueName=name("fanout-failures"))["QueueUrl"], MessageBody="odd"
    )
    topic = {"TopicArn": examined.stage.outputs["AlarmTopicArn"]}
    for one in sns.list_subscriptions_by_topic(**topic)["Subscriptions"]:
        sns.unsubscribe(SubscriptionArn=one["SubscriptionArn"])
    functions.update_function_configuration(FunctionName=name("fanoutMessage"), Timeout=3)
    functions.put_function_concurrency(FunctionName=name("history"), ReservedConcurrentExecutions=900)
    gone = {"op": "replace", "path": "/cloudwatchRoleArn", "value": "arn:aws:iam::000000000000:role/gone"}
    client("apigateway").update_account(patchOperations=[gone])
    resources = client("cloudformation").describe_stack_resource(
        StackName=name("")[:-1], LogicalResourceId="FailuresWait"
    )
    client("cloudwatch").set_alarm_state(
        AlarmName=resources["StackResourceDetail"]["PhysicalResourceId"],
        StateValue="ALARM",
        StateReason="test",
    )
    local = examined.folder / ".serverless" / "cloudformation-template-update-stack.json"
    template = json.loads(local.read_text())
    template["Resources"]["RetryQueue"]["Properties"]["VisibilityTimeout"] = 1
    template["Resources"]["NewQueue"] = {"Type": "AWS::SQS::Queue"}
    local.write_text(json.dumps(template))


def expire(dynamodb: Any, table: str, *, enabled: bool) -> None:
    dynamodb.update_time_to_live(
        TableName=table, TimeToLiveSpecification={"Enabled": enabled, "AttributeName": "expiresAt"}
    )


def recover(dynamodb: Any, table: str, *, enabled: bool) -> None:
    dynamodb.update_continuous_backups(
        TableName=table, PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": enabled}
    )


class FakeAws(BaseHTTPRequestHandler):
    """Service Quotas with default values of 1,000, and STS with a wrong clock."""

    def do_POST(self) -> None:
        asked = self.rfile.read(int(self.headers["Content-Length"]))
        operation = self.headers.get("X-Amz-Target", "").rpartition(".")[2]
        is_quota = bool(operation)
        is_unchanged = operation == "GetServiceQuota" and UNCHANGED_QUOTA in asked
        body = json.dumps({"Quota": {"Value": 1000.0}}) if is_quota else IDENTITY
        if is_unchanged:
            body = json.dumps({"__type": "NoSuchResourceException", "message": "no applied quota"})
        self.send_response_only(400 if is_unchanged else 200)
        self.send_header("Date", LONG_AGO)
        self.send_header("Content-Type", "application/x-amz-json-1.1" if is_quota else "text/xml")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@contextmanager
def fake_aws() -> Iterator[str]:
    """The URL of a running FakeAws."""
    with ThreadingHTTPServer(("127.0.0.1", 0), FakeAws) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
