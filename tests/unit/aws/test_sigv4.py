"""Signatures and whole requests, compared with botocore's."""

from __future__ import annotations

import datetime as dt
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch
from urllib.parse import urlsplit

import botocore.auth
import botocore.session
import pytest
from botocore.awsrequest import AWSRequest, AWSResponse
from hypothesis import example, given
from hypothesis import strategies as st

from groupcast.aws.origin import Origin
from groupcast.aws.sigv4 import ConnectionSigner, Credentials, Scope, sign

MIDNIGHT = int(dt.datetime(2027, 1, 1, tzinfo=dt.UTC).timestamp())
LAMBDA = Credentials("ASIAEXAMPLE", "secret/+", "token/+==")

printable = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=80)
credentials = st.builds(Credentials, printable, printable, st.none() | printable)
seconds = st.integers(MIDNIGHT - 2, MIDNIGHT + 2) | st.integers(0, 4_000_000_000)
usual_ids = st.from_regex(r"[A-Za-z0-9_-]{1,20}={0,2}", fullmatch=True)
any_ids = st.text(
    st.sampled_from("=+/%@ ?#&.~\n\u00e9\u2603\U0001f600") | st.characters(codec="utf-8"), min_size=1
)
connection_ids = (usual_ids | any_ids).filter(lambda text: text not in {".", ".."})
stages = st.sampled_from(["", "/dev", "/$default", "/a/b", "/prod-1_x.y~z", "/v1$-_.+!*'()", "/a%20b"])
regions = st.sampled_from(["us-east-1", "eu-west-1", "ap-southeast-4"])
origins = st.sampled_from(
    [
        "https://abc123.execute-api.eu-west-1.amazonaws.com",
        "https://WS.example.com:443",
        "https://ws.example.com:8443",
        "http://127.0.0.1:3001",
        "http://localhost:80",
        "http://[::1]:3001",
    ]
)


class Sent:
    """A request on the wire."""

    def __init__(self, request: bytes) -> None:
        head, _, self.body = request.partition(b"\r\n\r\n")
        first, *lines = head.decode("ascii").split("\r\n")
        self.method, self.path, self.version = first.split(" ")
        self.headers = dict(line.split(": ", 1) for line in lines)
        assert len(self.headers) == len(lines)


def _at(unix_s: int) -> Any:
    """Make botocore sign with this time."""
    then = dt.datetime.fromtimestamp(unix_s, dt.UTC)
    return patch.object(botocore.auth, "get_current_datetime", return_value=then)


def _signed_by_botocore(request: AWSRequest, scope: tuple[Credentials, str, str, int]) -> dict[str, str]:
    ours, service, region, unix_s = scope
    theirs = SimpleNamespace(access_key=ours.access_key, secret_key=ours.secret_key, token=ours.token)
    with _at(unix_s):
        botocore.auth.SigV4Auth(theirs, service, region).add_auth(request)
    length = {"Content-Length": str(len(request.body or b""))}
    return {**dict(request.headers), "Host": botocore.auth._host_from_url(request.url), **length}


@given(credentials, seconds, regions, origins, stages, connection_ids, st.binary(max_size=200), st.booleans())
@example(LAMBDA, MIDNIGHT, "us-east-1", "https://h", "/dev", "L0SM9cOFvHcCIhw=", b"{}", True)
def test_posts_are_signed_as_botocore_does(
    signing: Credentials,
    unix_s: int,
    region: str,
    origin: str,
    stage: str,
    connection_id: str,
    body: bytes,
    posting: bool,
) -> None:
    """All headers match SigV4Auth's, for any id, stage, host, body, token and second."""
    method = "POST" if posting else "DELETE"
    scope = Scope(signing, region=region, service="execute-api", unix_s=unix_s)
    signer = ConnectionSigner(scope, method, Origin.of(origin).host_header, stage, body)
    sent = Sent(signer.request(connection_id))

    request = AWSRequest(method, f"{origin}{sent.path}", data=body)
    assert sent.headers == _signed_by_botocore(request, (signing, "execute-api", region, unix_s))
    assert (sent.method, sent.version, sent.body) == (method, "HTTP/1.1", body)


@given(credentials, seconds, regions, st.binary(max_size=200))
def test_other_services_are_signed_as_botocore_does(
    signing: Credentials, unix_s: int, region: str, body: bytes
) -> None:
    """A POST with extra headers, such as DynamoDB's, has the headers of SigV4Auth."""
    headers = {"Content-Type": "application/x-amz-json-1.0", "X-Amz-Target": "DynamoDB_20120810.Query"}
    scope = Scope(signing, region=region, service="dynamodb", unix_s=unix_s)
    host = f"dynamodb.{region}.amazonaws.com"
    sent = Sent(sign(scope, "POST", host, "/", headers, body))

    request = AWSRequest("POST", f"https://{host}/", data=body, headers=headers)
    assert sent.headers == _signed_by_botocore(request, (signing, "dynamodb", region, unix_s))
    assert (sent.method, sent.path, sent.body) == ("POST", "/", body)


@pytest.mark.parametrize("connection_id", ["L0SM9cOFvHcCIhw=", "a+b/c==", "\u00e9 ~@'%2F"])
@pytest.mark.parametrize("stage", ["", "/dev", "/v1$-_.+!*'()"])
def test_botocores_client_sends_the_same_post(connection_id: str, stage: str) -> None:
    """Path, body and signature match on the wire."""
    endpoint = f"https://abc.execute-api.us-east-1.amazonaws.com{stage}"
    sent_by_botocore = []

    def intercept(request: Any, **_: Any) -> AWSResponse:
        sent_by_botocore.append(request)
        return AWSResponse(request.url, 200, {}, SimpleNamespace(stream=lambda: iter([b""])))

    client = botocore.session.Session().create_client(
        "apigatewaymanagementapi",
        region_name="us-east-1",
        endpoint_url=endpoint,
        aws_access_key_id=LAMBDA.access_key,
        aws_secret_access_key=LAMBDA.secret_key,
        aws_session_token=LAMBDA.token,
    )
    client.meta.events.register("before-send", intercept)
    with _at(MIDNIGHT):
        client.post_to_connection(ConnectionId=connection_id, Data=b"hello")
    client.close()

    scope = Scope(LAMBDA, region="us-east-1", service="execute-api", unix_s=MIDNIGHT)
    signer = ConnectionSigner(scope, "POST", Origin.of(endpoint).host_header, stage, b"hello")
    sent = Sent(signer.request(connection_id))
    [theirs] = sent_by_botocore
    assert sent.path == urlsplit(theirs.url).path
    assert sent.body == theirs.body
    for name in ("Authorization", "X-Amz-Date", "X-Amz-Security-Token"):
        assert sent.headers[name] == theirs.headers[name].decode()


def test_awss_published_example() -> None:
    """`post-vanilla` of AWS's Signature Version 4 test suite."""
    signing = Credentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
    then = int(dt.datetime(2015, 8, 30, 12, 36, tzinfo=dt.UTC).timestamp())
    scope = Scope(signing, region="us-east-1", service="service", unix_s=then)
    sent = Sent(sign(scope, "POST", "example.amazonaws.com", "/", {}, b""))
    assert sent.headers["Authorization"] == (
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, "
        "SignedHeaders=host;x-amz-date, "
        "Signature=5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"
    )


@pytest.mark.parametrize("connection_id", ["", ".", "..", "\ud800"])
def test_an_id_that_would_change_the_path_is_a_value_error(connection_id: str) -> None:
    """So is one that UTF-8 can't encode."""
    scope = Scope(LAMBDA, region="us-east-1", service="execute-api", unix_s=MIDNIGHT)
    signer = ConnectionSigner(scope, "POST", "example.com", "/dev", b"")
    with pytest.raises(ValueError, match=r"connection id|surrogates"):
        signer.request(connection_id)


def test_secrets_are_not_in_the_repr() -> None:
    """Logs may contain it."""
    assert repr(LAMBDA) == "Credentials(access_key='ASIAEXAMPLE', expires_at=None)"
