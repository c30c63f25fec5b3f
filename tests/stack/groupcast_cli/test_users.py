"""`groupcast user` and `groupcast token --stage` against a stack and a user pool in moto's real server."""

from __future__ import annotations

import os
import pty
import re
import select
import shlex
import string
import subprocess
import uuid
from pathlib import Path
from typing import Any

import jwt
import pytest

from groupcast_cli.main import main
from groupcast_cli.stage import Place, Stage
from groupcast_cli.users import Outcome, put_user, random_password, wscat_line
from localcloud.backends.userpool import only_pool
from localcloud.service.model import Service
from tests.conftest import GROUPCAST
from tests.stack.groupcast_cli.support import (
    OTHER_REGION,
    TIMEOUT_S,
    Account,
    Said,
    refusing_aws,
    run_command,
)

STAGE = "test"
GATEWAY_URL = "wss://abc123.execute-api.us-east-1.amazonaws.com/test"
PASSWORD = "Correct-Horse-7-Battery"
SHOWN_PASSWORD = re.compile(r"shown only now:\n\n  (\S+)\n")


@pytest.fixture(scope="module")
def _stage(moto_account: Account, unit_service: Service) -> Stage:
    pool, client = only_pool(unit_service)
    pool_id = moto_account.cognito.create_user_pool(**pool.definition)["UserPool"]["Id"]
    made = moto_account.cognito.create_user_pool_client(UserPoolId=pool_id, **client.definition)
    outputs = {
        "ManagementEndpoint": GATEWAY_URL.replace("wss", "https"),
        "UserPoolId": pool_id,
        "UserPoolClientId": made["UserPoolClient"]["ClientId"],
    }
    moto_account.deploy(STAGE, outputs)
    return Stage(STAGE, Place(), GATEWAY_URL, pool_id, outputs["UserPoolClientId"])


@pytest.fixture
def stage(account: Account, _stage: Stage) -> Stage:
    return _stage


@pytest.fixture
def name() -> str:
    """A user name of its own for each test."""
    return f"ann-{uuid.uuid4().hex[:8]}"


def groups_of(account: Account, stage: Stage, name: str) -> set[str]:
    answer = account.cognito.admin_list_groups_for_user(UserPoolId=stage.user_pool_id, Username=name)
    return {group["GroupName"] for group in answer["Groups"]}


def claims(said: Said) -> dict[str, Any]:
    assert (said.code, said.err, said.out.count("\n")) == (0, "", 1)
    read: dict[str, Any] = jwt.decode(said.out.strip(), options={"verify_signature": False})
    return read


def test_a_new_user_signs_in_with_the_password_shown(stage: Stage, groupcast: Any, name: str) -> None:
    """It is shown once and permanent; the groups were created and are in the token."""
    groups = [f"private-{uuid.uuid4()}" for _ in range(2)]
    options = [part for group in groups for part in ("--group", group)]
    made = groupcast("user", name, "--stage", STAGE, *options)
    assert (made.code, made.err) == (0, "")
    shown = SHOWN_PASSWORD.search(made.out)
    assert shown
    assert made.out.count(shown[1]) == 1
    assert all(group in made.out for group in groups)
    token = claims(groupcast("token", name, "--stage", STAGE, "--password", shown[1]))
    assert (token["token_use"], token["client_id"], token["username"]) == ("access", stage.client_id, name)
    assert set(token["cognito:groups"]) == set(groups)


def test_id_tokens_are_available(stage: Stage, groupcast: Any, name: str) -> None:
    """With --id, for a deployed stage as for a running `up`."""
    groupcast("user", name, "--stage", STAGE, "--password", PASSWORD)
    token = claims(groupcast("token", name, "--stage", STAGE, "--password", PASSWORD, "--id"))
    assert (token["token_use"], token["aud"]) == ("id", stage.client_id)


def test_a_given_password_is_not_shown(stage: Stage, groupcast: Any, name: str) -> None:
    made = groupcast("user", name, "--stage", STAGE, "--password", PASSWORD)
    assert made.code == 0
    assert PASSWORD not in made.out


def test_an_existing_user_keeps_the_password(
    account: Account, stage: Stage, groupcast: Any, name: str
) -> None:
    """Without --password only groups are added, as the output says."""
    groupcast("user", name, "--stage", STAGE, "--password", PASSWORD, "--group", "private-team")
    # An existing group and a repeated one are accepted.
    again = ["--group", "private-team", "--group", "private-ops", "--group", "private-ops"]
    changed = groupcast("user", name, "--stage", STAGE, *again)
    assert changed.code == 0
    assert "keeps the password" in changed.out
    assert "shown only now" not in changed.out
    assert groups_of(account, stage, name) == {"private-team", "private-ops"}
    assert claims(groupcast("token", name, "--stage", STAGE, "--password", PASSWORD))["username"] == name


def test_an_existing_users_password_can_be_replaced(stage: Stage, groupcast: Any, name: str) -> None:
    """With --password; the old one becomes invalid."""
    other = f"{PASSWORD}-2"
    groupcast("user", name, "--stage", STAGE, "--password", PASSWORD)
    changed = groupcast("user", name, "--stage", STAGE, "--password", other)
    assert "now has the password that you gave" in changed.out
    assert claims(groupcast("token", name, "--stage", STAGE, "--password", other))["username"] == name
    complaint = groupcast("token", name, "--stage", STAGE, "--password", PASSWORD).complaint
    assert f"stage test has no user {name} with this password" in complaint
    assert f"groupcast user {name} --stage test --password" in complaint


@pytest.mark.parametrize("command", ["user", "token"])
def test_a_look_alike_is_refused(
    account: Account, stage: Stage, groupcast: Any, name: str, command: str
) -> None:
    """With the reason, which the gateway's 403 lacks; no user is created."""
    alike = name.replace("a", "\u0430", 1)
    complaint = groupcast(command, alike, "--stage", STAGE, "--password", PASSWORD).complaint
    assert f"nobody can connect as {alike!r}: it mixes letters of Cyrillic, " in complaint
    assert "choose another user name" in complaint
    with pytest.raises(account.cognito.exceptions.UserNotFoundException):
        groups_of(account, stage, alike)


def test_a_weak_password_is_refused(stage: Stage, groupcast: Any, name: str) -> None:
    """With the pool's reason; a stronger one then works."""
    complaint = groupcast("user", name, "--stage", STAGE, "--password", "weak").complaint
    assert "refuses the password: " in complaint
    assert "give another --password" in complaint
    assert groupcast("user", name, "--stage", STAGE, "--password", PASSWORD).code == 0


def test_a_temporary_password_has_a_clear_error(
    account: Account, stage: Stage, groupcast: Any, name: str
) -> None:
    """For a user created in the console: the line names the remedy."""
    account.cognito.admin_create_user(
        UserPoolId=stage.user_pool_id, Username=name, TemporaryPassword=PASSWORD, MessageAction="SUPPRESS"
    )
    complaint = groupcast("token", name, "--stage", STAGE, "--password", PASSWORD).complaint
    assert "NEW_PASSWORD_REQUIRED; " in complaint
    assert f"groupcast user {name} --stage test --password" in complaint


def test_an_invalid_group_creates_no_user(account: Account, stage: Stage, groupcast: Any, name: str) -> None:
    """Such as an empty variable in a script: the line has the reason, and the next attempt starts anew."""
    complaint = groupcast("user", name, "--stage", STAGE, "--group", "").complaint
    assert "an option is not what AWS takes: " in complaint
    assert "GroupName" in complaint
    with pytest.raises(account.cognito.exceptions.UserNotFoundException):
        groups_of(account, stage, name)


@pytest.mark.parametrize("command", ["user", "token"])
def test_a_missing_stage_has_a_clear_error(account: Account, groupcast: Any, command: str) -> None:
    """With the command to deploy it."""
    complaint = groupcast(command, "ann", "--stage", "nowhere").complaint
    assert "no stack groupcast-nowhere in us-east-1" in complaint
    assert "`make deploy STAGE=nowhere`" in complaint


def test_another_region_has_other_stages(stage: Stage, groupcast: Any) -> None:
    """--region selects it."""
    complaint = groupcast("user", "ann", "--stage", STAGE, "--region", OTHER_REGION).complaint
    assert f"no stack groupcast-test in {OTHER_REGION}" in complaint


def test_a_half_deployed_stage_has_a_clear_error(account: Account, groupcast: Any) -> None:
    """The first step of osls creates a stack with only a bucket."""
    name = f"half-{uuid.uuid4().hex[:8]}"
    account.deploy(name, {"ServerlessDeploymentBucketName": "x"})
    complaint = groupcast("user", "ann", "--stage", name).complaint
    assert f"groupcast-{name} in us-east-1 is CREATE_COMPLETE and has no output" in complaint
    assert f"`make deploy STAGE={name}`" in complaint


@pytest.mark.parametrize("command", ["user", "token"])
def test_missing_credentials_have_a_clear_error(
    account: Account, groupcast: Any, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    """With the variables to set."""
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    complaint = groupcast(command, "ann", "--stage", STAGE).complaint
    assert "no AWS credentials" in complaint
    assert "AWS_PROFILE" in complaint


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("AWS_PROFILE", "nobody", "(nobody) could not be found"),
        ("AWS_ENDPOINT_URL", "nonsense", "nonsense"),
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:1", "http://127.0.0.1:1"),
    ],
)
def test_an_unusable_environment_has_a_clear_error(
    account: Account, groupcast: Any, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, said: str
) -> None:
    """An unknown profile, a malformed address, a closed port."""
    monkeypatch.setenv(variable, value)
    complaint = groupcast("user", "ann", "--stage", STAGE).complaint
    assert said in complaint
    assert "check AWS_PROFILE, AWS_ENDPOINT_URL" in complaint


@pytest.mark.parametrize(
    ("code", "said", "unsaid"),
    [
        ("SignatureDoesNotMatch", "does not accept these credentials (SignatureDoesNotMatch)", "REASON"),
        ("AccessDenied", "these credentials may not do that: REASON; ", "AccessDenied"),
        ("ValidationError", "AWS refuses DescribeStacks: ValidationError: REASON", "AWS_PROFILE"),
    ],
)
def test_a_refusal_by_aws_has_a_clear_error(
    account: Account, groupcast: Any, monkeypatch: pytest.MonkeyPatch, code: str, said: str, unsaid: str
) -> None:
    """With AWS's reason, unless it may quote the signed request with its session token."""
    with refusing_aws(code, "REASON") as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        complaint = groupcast("user", "ann", "--stage", STAGE).complaint
    assert said in complaint
    assert unsaid not in complaint


def test_a_password_may_come_from_the_environment(stage: Stage, name: str, moto: dict[str, str]) -> None:
    """Without a terminal; if it is missing, the line names the variable."""
    put_user(stage, name, [], PASSWORD)
    line = [GROUPCAST, "token", name, "--stage", STAGE]
    environment = {**os.environ, "GROUPCAST_PASSWORD": PASSWORD}
    given = run_command(line, environment)
    assert claims(given)["username"] == name
    del environment["GROUPCAST_PASSWORD"]
    complaint = run_command(line, environment).complaint
    assert f"{name} needs a password: set GROUPCAST_PASSWORD" in complaint


def test_the_password_is_asked_for_at_a_terminal(stage: Stage, name: str) -> None:
    """Without echo; stdout has only the token, as a shell's $(…) needs."""
    put_user(stage, name, [], PASSWORD)
    ours, theirs = pty.openpty()
    try:
        with subprocess.Popen(
            [GROUPCAST, "token", name, "--stage", STAGE],
            stdin=theirs,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # Without a terminal to open, getpass reads stdin and prompts on stderr.
            start_new_session=True,
        ) as process:
            assert process.stderr
            prompt = f"Password of {name} in stage test: "
            # Input before the prompt is dropped.
            asked = process.stderr.read(len(prompt))
            os.write(ours, f"{PASSWORD}\n".encode())
            out, err = process.communicate(timeout=TIMEOUT_S)
        echoed = os.read(ours, 1000) if _readable(ours) else b""
    finally:
        os.close(ours)
        os.close(theirs)
    assert asked == prompt
    assert PASSWORD.encode() not in echoed
    assert claims(Said(process.returncode, out, err.strip()))["username"] == name


def test_the_line_to_connect_can_be_pasted(stage: Stage, groupcast: Any, tmp_path: Path) -> None:
    """It gives wscat the gateway's URL with the output of `groupcast token` for this user."""
    odd = "o'hara$HOME"
    assert wscat_line(stage, odd) in groupcast("user", odd, "--stage", STAGE, "--password", PASSWORD).out
    for path, script in (
        (".venv/bin/groupcast", "printf '%s|' \"$@\""),
        (".venv/bin/node", "printf '%s\\n' \"$@\""),
    ):
        stub = tmp_path / path
        stub.parent.mkdir(parents=True, exist_ok=True)
        stub.write_text(f"#!/bin/sh\n{script}\n")
        stub.chmod(0o755)
    for shell in ("sh", "bash"):
        done = subprocess.run(
            [shell, "-c", wscat_line(stage, odd)],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
            timeout=TIMEOUT_S,
        )
        expected = f"{GATEWAY_URL}?token=token|{odd}|--stage|test|"
        assert done.stdout.splitlines() == ["node_modules/.bin/wscat", "-c", expected]


def test_the_line_names_a_non_default_region() -> None:
    stage = Stage("prod", Place(OTHER_REGION), GATEWAY_URL, "pool", "client")
    assert f"--stage prod --region {OTHER_REGION})" in wscat_line(stage, "ann")


def test_a_stage_with_a_port_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["token", "ann", "--stage", STAGE, "--gateway-port", "3001"])
    assert caught.value.code == 2
    assert "not allowed with" in capsys.readouterr().err


def test_random_passwords_fit_any_policy() -> None:
    """16 characters with some of each kind, none special to a shell or an option parser."""
    passwords = [random_password() for _ in range(200)]
    assert len(set(passwords)) == len(passwords)
    for password in passwords:
        assert len(password) == 16
        assert shlex.quote(password).strip("'") == password
        assert not password.startswith("-")
        for kind in (string.ascii_lowercase, string.ascii_uppercase, string.digits, string.punctuation):
            assert set(kind) & set(password)


def test_secrets_are_not_in_a_repr() -> None:
    """A traceback would log it."""
    assert PASSWORD not in repr(Outcome(new=True, password=PASSWORD))


def _readable(descriptor: int) -> bool:
    return bool(select.select([descriptor], [], [], 0)[0])
