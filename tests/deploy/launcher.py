"""Starts ministack with missing features added; runs under the Python of ministack's own venv.

Environment, besides ministack's own: LAMBDA_PYTHON, the interpreter of functions; DECISIONS, a file that gets
a line of JSON for each permission check of a role.
"""

from __future__ import annotations

import functools
import importlib
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

Response = tuple[int, dict[str, str], bytes]
Handler = dict[str, Callable[..., Any]]

# In IAM a batch needs the single action, once (Service Authorization Reference, Amazon SQS).
SINGLE_ACTIONS = {
    "sqs:SendMessageBatch": "sqs:SendMessage",
    "sqs:DeleteMessageBatch": "sqs:DeleteMessage",
    "sqs:ChangeMessageVisibilityBatch": "sqs:ChangeMessageVisibility",
}


def main() -> None:
    decisions = Path(os.environ.pop("DECISIONS"))
    # ministack's own Python has packages that would hide a missing one in the artifact.
    sys.executable = os.environ.pop("LAMBDA_PYTHON")
    do_not_wait_for_logs(importlib.import_module("ministack.core.lambda_runtime"))
    record_decisions(importlib.import_module("ministack.core.iam_evaluator"), decisions)
    gateway = importlib.import_module("ministack.services.apigateway")
    provisioners = importlib.import_module("ministack.services.cloudformation.provisioners")
    take_sums_of_metrics(provisioners)
    judge_alarms_by_dimensions(importlib.import_module("ministack.services.cloudwatch"))
    for name, handler in missing_types(gateway).items():
        # Keep ministack's own handler if it knows a type.
        provisioners._RESOURCE_HANDLERS.setdefault(name, handler)
    importlib.import_module("ministack.app").main()


def do_not_wait_for_logs(runtime: Any) -> None:
    """Take a function's log when it returns: waiting 50 ms for more would double the time."""
    waiting = runtime.Worker._drain_stderr_bounded
    runtime.Worker._drain_stderr_bounded = functools.partialmethod(waiting, first_line_wait=0.0)


def record_decisions(evaluator: Any, file: Path) -> None:
    """Write every decision on a role's request to the file."""
    enforce, caller = evaluator.enforce, evaluator.resolve_caller_identity

    def recorded(
        access_key: str, action: str, service: str, region: str, resource_arn: str = "*", **context: Any
    ) -> Any:
        action = SINGLE_ACTIONS.get(action, action)
        refusal = enforce(access_key, action, service, region, resource_arn=resource_arn, **context)
        _, assumed, session = (caller(access_key) or {"userArn": ""})["userArn"].partition(":assumed-role/")
        if assumed:
            decision = {
                "role": session.partition("/")[0],
                "action": action,
                "resource": resource_arn,
                "allowed": refusal is None,
            }
            with file.open("a") as lines:
                lines.write(json.dumps(decision) + "\n")
        return refusal

    evaluator.enforce = recorded


def take_sums_of_metrics(provisioners: Any) -> None:
    """Store alarms over several metrics, which ministack 1.5.33 refuses, without evaluating them."""
    recorded = provisioners._cw_metric_alarm_record

    def record(name: str, wanted: dict[str, Any]) -> dict[str, Any]:
        if "Metrics" not in wanted:
            return dict(recorded(name, wanted))
        one = dict.fromkeys(("MetricName", "Namespace"), "several")
        return {**recorded(name, {**wanted, "Metrics": None, **one}), **dict.fromkeys(one)}

    provisioners._cw_metric_alarm_record = record


def judge_alarms_by_dimensions(cloudwatch: Any) -> None:
    """Evaluate each alarm on its own metric only; ministack 1.5.33 ignores dimensions."""
    evaluate = cloudwatch._evaluate_alarm

    def evaluate_own(alarm: dict[str, Any]) -> None:
        wanted = {one["Name"]: one["Value"] for one in alarm.get("Dimensions", ())}
        everything = cloudwatch._metrics
        cloudwatch._metrics = {
            key: points for key, points in everything.items() if points and points[0]["Dimensions"] == wanted
        }
        try:
            evaluate(alarm)
        finally:
            cloudwatch._metrics = everything

    cloudwatch._evaluate_alarm = evaluate_own


def missing_types(gateway: Any) -> dict[str, Handler]:
    """Add CloudFormation types of WebSocket APIs that ministack 1.5.33 lacks, using its own API."""

    def create_deployment(
        _logical_id: str, wanted: dict[str, Any], _stack: str
    ) -> tuple[str, dict[str, str]]:
        made = _made(gateway._create_deployment(wanted["ApiId"], {}))
        return made["deploymentId"], {"DeploymentId": made["deploymentId"]}

    def delete_deployment(physical_id: str, given: dict[str, Any]) -> None:
        gateway._delete_deployment(given["ApiId"], physical_id)

    def create_response(_logical_id: str, wanted: dict[str, Any], _stack: str) -> tuple[str, dict[str, str]]:
        key = {"routeResponseKey": wanted["RouteResponseKey"]}
        made = _made(gateway._create_route_response(wanted["ApiId"], _route_id(wanted), key))
        return made["routeResponseId"], {"RouteResponseId": made["routeResponseId"]}

    def delete_response(physical_id: str, given: dict[str, Any]) -> None:
        gateway._delete_route_response(given["ApiId"], _route_id(given), physical_id)

    return {
        "AWS::ApiGatewayV2::Deployment": {"create": create_deployment, "delete": delete_deployment},
        "AWS::ApiGatewayV2::RouteResponse": {"create": create_response, "delete": delete_response},
    }


def _made(response: Response) -> dict[str, Any]:
    status, _, body = response
    if status >= 400:
        raise ValueError(body.decode())
    made: dict[str, Any] = json.loads(body)
    return made


def _route_id(properties: dict[str, Any]) -> str:
    # There, a route's Ref is "{api}/{route}".
    return str(properties["RouteId"]).rpartition("/")[2]


if __name__ == "__main__":
    main()
