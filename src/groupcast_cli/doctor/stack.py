"""Judgements of the stack: its state, the deployed template, drift. Pure."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from groupcast_cli.doctor.finding import CannotCheckError, Finding, judged, ok, to_do

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

HEALTHY = frozenset({"CREATE_COMPLETE", "UPDATE_COMPLETE", "IMPORT_COMPLETE"})
ROLLED_BACK = frozenset({"UPDATE_ROLLBACK_COMPLETE", "IMPORT_ROLLBACK_COMPLETE"})
# A line stays readable.
NAMES_SHOWN = 6
VALUE_CHARACTERS = 40
TEMPLATE_PATH = ".serverless/cloudformation-template-update-stack.json"


def judge_stack(name: str, status: str, reason: str = "") -> Finding:
    """Judge a `StackStatus` of CloudFormation."""
    if status in HEALTHY:
        return ok(f"{name} is {status}")
    why = f" ({reason})" if reason else ""
    events = f"`aws cloudformation describe-stack-events --stack-name {name}` says why"
    if status in ROLLED_BACK:
        return to_do(
            f"{name} is {status}{why}: its last deployment failed and was undone; {events}; deploy again"
        )
    if status.endswith("_IN_PROGRESS"):
        return to_do(f"{name} is {status}{why}: wait until it is done, then run this again")
    if status == "ROLLBACK_COMPLETE":
        return to_do(
            f"{name} is {status}{why}: its first deployment failed; {events}; remove it, then deploy"
        )
    return to_do(f"{name} is {status}{why}: {events}; then deploy again, or continue the rollback")


def judge_template(deployed: Mapping[str, Any], local: Mapping[str, Any] | None, stage: str) -> Finding:
    """Compare the deployed template with the packaged one, `local` (None: nothing is packaged).

    Where a packaging puts the artifact, and the random name of the API's deployment, differ each time.
    """
    package = f"`npx osls package --stage {stage}` with the parameters of the deployment"
    if local is None:
        raise CannotCheckError(f"there is no {TEMPLATE_PATH}: run {package}")
    ours, theirs = _comparable(local), _comparable(deployed)
    if (packaged := _stage_of(ours)) != _stage_of(theirs):
        raise CannotCheckError(f"{TEMPLATE_PATH} is of stage {packaged}: run {package}")
    here, there = ours["Resources"], theirs["Resources"]
    faults = [
        f"{what}: {_listed(names)}"
        for what, names in (
            ("changed here", [name for name in here if name in there and here[name] != there[name]]),
            ("not deployed", [name for name in here if name not in there]),
            ("deployed, but not here", [name for name in there if name not in here]),
        )
        if names
    ]
    if faults:
        return to_do(
            f"the deployed template differs from {TEMPLATE_PATH} ({'; '.join(faults)}): deploy, or run "
            f"{package}"
        )
    return ok(f"deployed as in {TEMPLATE_PATH}: {len(there)} resources")


def judge_drift(detection: Mapping[str, Any], drifts: Sequence[Mapping[str, Any]]) -> Finding:
    """Judge answers of DescribeStackDriftDetectionStatus and DescribeStackResourceDrifts."""
    faults = []
    for drift in drifts:
        name = drift["LogicalResourceId"]
        if drift["StackResourceDriftStatus"] == "DELETED":
            faults.append(f"{name} ({drift.get('PhysicalResourceId', '')}) was deleted by hand: restore it")
        else:
            changes = [_change(one) for one in drift.get("PropertyDifferences", ())]
            faults.append(f"{name} was changed by hand ({_listed(changes)}): set it back")
    if faults:
        more = len(faults) - NAMES_SHOWN
        shown = faults[:NAMES_SHOWN] + ([f"{more} more"] if more > 0 else [])
        return to_do(f"{'; '.join(shown)}. Deploying the same template again changes nothing")
    if detection["DetectionStatus"] != "DETECTION_COMPLETE":
        reason = detection.get("DetectionStatusReason", "for no reason that it gives")
        raise CannotCheckError(f"CloudFormation could not compare all resources: {reason}")
    return judged("resources are as they were deployed, as far as CloudFormation compares them", ())


def judge_slow_drift(last: Mapping[str, Any]) -> Finding:
    """Judge the `DriftInformation` of DescribeStacks, of the detection before one that takes too long."""
    still = "CloudFormation still compares resources: run this again in some minutes"
    status, checked_at = last.get("StackDriftStatus"), last.get("LastCheckTimestamp")
    if status == "DRIFTED":
        return to_do(f"the detection of {checked_at:%Y-%m-%d %H:%M} UTC found changes by hand; {still}")
    if status == "IN_SYNC":
        raise CannotCheckError(f"{still}; the detection of {checked_at:%Y-%m-%d %H:%M} UTC found no changes")
    raise CannotCheckError(still)


def _change(difference: Mapping[str, Any]) -> str:
    actual, expected = (str(difference.get(key, "")) for key in ("ActualValue", "ExpectedValue"))
    path = str(difference["PropertyPath"]).strip("/")
    if max(len(actual), len(expected)) > VALUE_CHARACTERS:
        return path
    return f"{path} is {actual}, deployed as {expected}"


def _comparable(template: Mapping[str, Any]) -> dict[str, Any]:
    """The template without the parts that each packaging makes anew."""
    text = json.dumps(template)
    for name, resource in template["Resources"].items():
        if resource["Type"] == "AWS::ApiGatewayV2::Deployment":
            text = text.replace(name, "WebsocketsDeployment")
    text = re.sub(r'"S3Key": "[^"]*"', '"S3Key": ""', text)
    comparable: dict[str, Any] = json.loads(text)
    return comparable


def _stage_of(template: Mapping[str, Any]) -> str:
    return str(template["Resources"]["WebsocketsDeploymentStage"]["Properties"]["StageName"])


def _listed(names: Iterable[str]) -> str:
    listed = sorted(names)
    more = len(listed) - NAMES_SHOWN
    return ", ".join(listed[:NAMES_SHOWN]) + (f" and {more} more" if more > 0 else "")
