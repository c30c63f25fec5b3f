"""`groupcast token` against the stack of `make up AUTH=cognito`."""

from __future__ import annotations

import contextlib
import io
import json
import os
import stat
import urllib.request
from pathlib import Path
from typing import Any

import jwt
import pytest

from groupcast_cli.main import main
from groupcast_cli.runfile import run_path
from localcloud.children import free_port
from tests.conftest import GROUPCAST, REGION, ROOT, Stack
from tests.stack.groupcast_cli.support import Said, run_command

pytestmark = [pytest.mark.stack, pytest.mark.timeout(120)]


def token(stack: Stack | None, *arguments: str, cwd: Path = ROOT) -> Said:
    """Run `groupcast token`; without a stack, on the default port."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.chdir(cwd), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(["token", *arguments, *(["--gateway-port", stack.gateway_port] if stack else [])])
    return Said(code, out.getvalue(), err.getvalue())


def assert_complains(said: Said, *words: str) -> None:
    complaint = said.complaint
    for word in words:
        assert word in complaint


def verified(stack: Stack, text: str, audience: str | None) -> dict[str, Any]:
    url = f"{stack.cognito_url}/{stack.user_pool_id}/.well-known/jwks.json"
    with urllib.request.urlopen(url) as response:  # noqa: S310 - the stack's own http:// address
        keys = jwt.PyJWKSet.from_dict(json.load(response))
    issuer = f"https://cognito-idp.{REGION}.amazonaws.com/{stack.user_pool_id}"
    key = keys[jwt.get_unverified_header(text)["kid"]]
    claims: dict[str, Any] = jwt.decode(text, key, algorithms=["RS256"], issuer=issuer, audience=audience)
    return claims


def test_it_prints_an_access_token_alone(cognito_stack: Stack) -> None:
    """One line on stdout, verified against the pool's JWKS; nothing on stderr."""
    line = [GROUPCAST, "token", "ann", "--gateway-port", cognito_stack.gateway_port]
    done = run_command(line, dict(os.environ))
    assert (done.code, done.err, done.out.count("\n")) == (0, "", 1)
    claims = verified(cognito_stack, done.out.strip(), audience=None)
    assert (claims["token_use"], claims["client_id"]) == ("access", cognito_stack.client_id)
    assert (claims["username"], claims["cognito:groups"]) == ("ann", ["private-team"])


def test_it_prints_the_id_token_when_asked(cognito_stack: Stack) -> None:
    """Its audience is the client."""
    done = token(cognito_stack, "eve", "--id", "--password", cognito_stack.passwords["eve"])
    claims = verified(cognito_stack, done.out.strip(), audience=cognito_stack.client_id)
    assert (claims["token_use"], claims["cognito:username"]) == ("id", "eve")
    assert "cognito:groups" not in claims


def test_a_wrong_password_has_a_clear_error(cognito_stack: Stack) -> None:
    """With the remedy."""
    assert_complains(
        token(cognito_stack, "ann", "--password", "x"), "password of ann is wrong", "leave --password out"
    )


@pytest.mark.parametrize("password", [[], ["--password", "x"]])
def test_an_unknown_user_has_a_clear_error(cognito_stack: Stack, password: list[str]) -> None:
    """It lists the known users."""
    assert_complains(token(cognito_stack, "zoe", *password), "no user zoe", "ann, bob, eve")


def test_a_stack_without_sign_in_has_a_clear_error(stack: Stack) -> None:
    """It tells how to connect without sign-in and how to start with it."""
    assert_complains(token(stack, "ann"), "?name=ann", "make up AUTH=cognito")


def test_a_missing_stack_has_a_clear_error(tmp_path: Path) -> None:
    """With the command to start it, for the default port and another one, and a hint at stages."""
    done = token(None, "ann", cwd=tmp_path)
    assert_complains(done, "no `make up AUTH=cognito` is running on port 3001", "--stage")
    port = str(free_port())
    done = token(None, "ann", "--gateway-port", port)
    assert_complains(done, f"running on port {port}", f"make up AUTH=cognito GATEWAY_PORT={port}")


def test_a_killed_stacks_file_is_ignored(tmp_path: Path) -> None:
    """Nobody holds its lock."""
    port = free_port()
    path = run_path(tmp_path, port)
    path.parent.mkdir()
    path.write_text('{"auth":"cognito","cognitoUrl":"http://127.0.0.1:9","clientId":"x","users":{"ann":"x"}}')
    done = token(None, "ann", "--gateway-port", str(port), cwd=tmp_path)
    assert_complains(done, f"no `make up AUTH=cognito` is running on port {port}")


def test_the_passwords_are_for_this_user_alone(cognito_stack: Stack) -> None:
    """The file that `token` reads has mode 0600."""
    assert stat.S_IMODE(run_path(ROOT, int(cognito_stack.gateway_port)).stat().st_mode) == 0o600


def test_the_page_learns_the_user_pool(cognito_stack: Stack, stack: Stack) -> None:
    """config.json names the user pool's API and client, or neither without sign-in."""
    config = {}
    for one in (cognito_stack, stack):
        with urllib.request.urlopen(f"{one.page_url}/config.json") as response:  # noqa: S310 - as above
            config[one.page_url] = json.load(response)
    assert config[cognito_stack.page_url] == {
        "gatewayUrl": cognito_stack.gateway_url,
        "auth": "cognito",
        "cognitoUrl": cognito_stack.cognito_url,
        "clientId": cognito_stack.client_id,
    }
    assert config[stack.page_url] == {"gatewayUrl": stack.gateway_url, "auth": "none"}


@pytest.mark.parametrize("use", ["access", "id"])
def test_the_stack_signs_in_for_other_tests(cognito_stack: Stack, use: str) -> None:
    """Other tests' helper returns the requested kind of token."""
    audience = cognito_stack.client_id if use == "id" else None
    assert verified(cognito_stack, cognito_stack.token("bob", use), audience)["token_use"] == use
