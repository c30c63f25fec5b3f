"""Work of functions while their modules load, in new processes, as in Lambda."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jwt
import pytest
import trustme
from cryptography.hazmat.primitives.asymmetric import rsa

from localcloud.service.definition import load_service
from tests.conftest import REGION, ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

HANDLERS = sorted(
    one.handler.rpartition(".")[0]
    for one in load_service(ROOT / "serverless.yml", stage="dev", region=REGION, params={}).functions.values()
)
SETTINGS = {
    **load_service(ROOT / "serverless.yml", stage="dev", region=REGION, params={"auth": "cognito"})
    .functions["ping"]
    .environment,
    "AWS_REGION": REGION,
    "AWS_DEFAULT_REGION": REGION,
    "AWS_ACCESS_KEY_ID": "unit",
    "AWS_SECRET_ACCESS_KEY": "unit",
    "USER_POOL_ID": "us-east-1_pool",
    "USER_POOL_CLIENT_ID": "client",
    # Nobody listens here.
    "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
}
ALL_LOADED = f"""
import gc, importlib, json, ssl, sys
modules = [importlib.import_module(name) for name in {HANDLERS}]
"""


def run(code: str, environ: dict[str, str]) -> Any:
    """Run `code` in a process with exactly this environment; return the JSON it prints."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PATH": os.environ["PATH"], **environ},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize(
    ("environ", "error"),
    [
        ({}, "SettingsError: environment variable AWS_REGION is missing"),
        ({**SETTINGS, "AUTH": "maybe"}, "SettingsError: AUTH is 'maybe'; it can be none, cognito"),
    ],
)
def test_every_invocation_names_the_wrong_setting(environ: dict[str, str], error: str) -> None:
    """Modules still load: after an import error Lambda would load them again for each invocation."""
    code = """
class Context:
    def get_remaining_time_in_millis(self): return 1000
said = set()
for module in modules:
    if module.__name__.endswith(".default"): continue
    for _ in range(2):
        try: module.handler({"requestContext": {}, "Records": []}, Context())
        except Exception as error: said.add(f"{type(error).__name__}: {error}")
        else: said.add(module.__name__)
print(json.dumps(sorted(said)))
"""
    assert run(ALL_LOADED + code, environ) == [error]


def test_one_tls_context_serves_all_connections_of_a_process(tmp_path: Path) -> None:
    """The SDK's, the pools' and the key fetcher's, after a request."""
    authority = tmp_path / "ca.pem"
    trustme.CA().cert_pem.write_to_path(str(authority))
    code = """
context = {"connectionId": "a=", "requestId": "r", "routeKey": "ping", "authorizer": {"principalId": "ann"}}
ping = sys.modules["groupcast.handlers.ping"]
assert "InternalError" in ping.handler({"requestContext": context, "body": "{}"}, None)["body"]
contexts = [one for one in gc.get_objects() if isinstance(one, ssl.SSLContext)]
trusting = [one for one in contexts if one.cert_store_stats()["x509_ca"]]
from groupcast.aws.tls import tls_context
print(json.dumps([len(trusting), trusting == [tls_context()], gc.isenabled()]))
"""
    environ = {**SETTINGS, "AWS_ENDPOINT_URL": "https://127.0.0.1:9", "SSL_CERT_FILE": str(authority)}
    assert run(ALL_LOADED + code, environ) == [1, True, True]


@pytest.mark.parametrize("module", ["authorize", "default", "fanout_message", "send_message"])
def test_the_first_invocation_imports_nothing_large(module: str) -> None:
    """All is loaded before."""
    code = f"""
import importlib, json, sys
module = importlib.import_module("groupcast.handlers.{module}")
class Context:
    def get_remaining_time_in_millis(self): return 20000
before = set(sys.modules)
frame = {{"action": "ping", "token": "a.b.c"}}
context = {{"connectionId": "a=", "requestId": "r", "routeKey": "ping", "connectedAt": 0}}
who = {{"principalId": "ann", "sender": "ann", "groups": "[]", "authorizedUntil": "1"}}
event = {{"requestContext": {{**context, "authorizer": who}}, "body": json.dumps(frame), "Records": []}}
try: module.handler(event, Context())
except Exception: pass
heavy = ("groupcast", "aioboto3", "aiobotocore", "boto3", "aiohttp", "jwt", "cryptography", "urllib", "ssl")
print()
print(json.dumps(sorted(name for name in set(sys.modules) - before if name.split(".")[0] in heavy)))
"""
    assert run(code, SETTINGS) == []


@contextmanager
def pool_of(key: rsa.RSAPrivateKey) -> Iterator[tuple[str, list[str]]]:
    """A user pool with one key: its URL, and the requested paths."""
    public = jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps({"keys": [{**public, "kid": "k1"}]}).encode())

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.parametrize("module", ["authorize", "renew"])
def test_the_pools_keys_are_fetched_while_the_module_loads(module: str) -> None:
    """So that the first token finds them."""
    with pool_of(rsa.generate_private_key(public_exponent=65537, key_size=2048)) as (url, asked):
        environ = {**SETTINGS, "AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER": url}
        run(f"import groupcast.handlers.{module}; print(0)", environ)
    assert asked == ["/us-east-1_pool/.well-known/jwks.json"]


def test_a_cold_fan_out_loads_no_sdk() -> None:
    """boto and aiohttp are most of a cold start; the function that must be fast does without them."""
    code = "import json, sys, groupcast.handlers.fanout_message, groupcast.runtime.fanout\n"
    code += "sdk = {'boto3', 'botocore.session', 'aioboto3', 'aiohttp'}\n"
    code += "print(json.dumps(sorted(sdk & set(sys.modules))))"
    assert run(code, SETTINGS) == []


def test_posting_and_credentials_import_no_botocore() -> None:
    """Not even its package."""
    code = "import json, sys, groupcast.aws.management, groupcast.aws.credentials\n"
    assert run(code + "print(json.dumps('botocore' in sys.modules))", SETTINGS) is False
