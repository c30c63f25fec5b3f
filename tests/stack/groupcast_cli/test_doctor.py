"""`groupcast doctor` in an account."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.stack.groupcast_cli.support import Account, refusing_aws

if TYPE_CHECKING:
    pass


def test_without_credentials_nothing_else_is_asked(
    groupcast: Any, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    with refusing_aws("ExpiredToken", "The token session-token-of-a-test is expired") as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        said = groupcast("doctor", "--stage", "dev", "--json")
    report = json.loads(said.out)
    lines = {check["name"]: (check["status"], check["text"]) for check in report["checks"]}
    assert [lines.pop(name)[0] for name in ("credentials", "clock")] == ["to do", "ok"]
    assert set(lines.values()) == {("skipped", "needs the credentials first")}
    assert report["counts"] == {"ok": 1, "to do": 1, "skipped": 14}
    assert "AWS_ACCESS_KEY_ID" in said.out
    assert "session-token" not in said.out
    assert said.code == 1


def test_a_stage_that_may_not_be_seen_is_no_healthy_one(
    groupcast: Any, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing was checked then."""
    with refusing_aws("AccessDenied", "not authorized") as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL_CLOUDFORMATION", url)
        said = groupcast("doctor", "--stage", "dev", "--no-chat")
    lines = said.out.splitlines()
    assert (
        lines[2] == "to do   stack       these credentials lack the permission cloudformation:DescribeStacks"
    )
    assert all(line.endswith("needs the stack first") for line in lines[3:-2])
    assert (said.code, said.err) == (1, "")


def test_a_stack_of_another_version_is_no_healthy_one(groupcast: Any, account: Account) -> None:
    """Its settings are unknown, and nobody signs in to chat."""
    account.deploy("odd", {})
    said = groupcast("doctor", "--stage", "odd", "--no-chat")
    (line,) = [one for one in said.out.splitlines() if one[8:20].strip() == "template"]
    assert line.startswith("to do   template    the stack has the template of another version (KeyError: ")
    assert said.code == 1


def test_a_stage_that_is_not_there_is_to_be_deployed(groupcast: Any, account: Account) -> None:
    said = groupcast("doctor", "--stage", "nowhere", "--no-chat")
    lines = said.out.splitlines()
    assert lines[2].startswith(
        "to do   stack       there is no stack groupcast-nowhere in us-east-1: deploy it"
    )
    assert all(line.endswith("needs the stack first") for line in lines[3:-2])
    assert lines[-1].startswith("2 ok, 1 to do, 12 skipped, in ")
    assert (said.code, said.err) == (1, "")


def test_a_user_without_a_password_is_told_so(groupcast: Any, account: Account) -> None:
    """Before anything is asked: a run that nobody watches must not wait at a prompt."""
    assert "GROUPCAST_PASSWORD" in groupcast("doctor", "--stage", "dev", "--user", "ann").complaint
