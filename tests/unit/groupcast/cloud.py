"""The services that functions call, on one port of this process: moto, connections and a pool's keys."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections import Counter
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import boto3
import jwt
import orjson
from cryptography.hazmat.primitives.asymmetric import rsa
from werkzeug.serving import make_server
from werkzeug.wrappers import Request, Response

from localcloud.backends.dynamodb import create_tables
from localcloud.backends.motoserver.__main__ import Dispatcher, Handler
from localcloud.service.definition import load_service
from tests.conftest import REGION, ROOT

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from wsgiref.types import StartResponse, WSGIEnvironment

STAGE = "functions"
POOL = f"{REGION}_pool"
CLIENT = "client"
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)


@dataclass
class Fault:
    """The answer to the next `times` calls of an operation, in place of the service's own."""

    status: int
    code: str
    times: int = 1_000


class Cloud:
    """A WSGI application. Tests read posts and closed connections, and set what fails.

    `dynamodb` and `sqs` are boto3 clients of it.
    `outcomes` are the statuses of posts to connections that are not accepted, `faults` those of operations;
    `keys` is the operation that gets the pool's keys.
    """

    def __init__(self) -> None:
        self.url = ""
        self.dynamodb: Any = None
        self.sqs: Any = None
        self.posts: dict[str, list[Any]] = {}
        self.deleted: list[str] = []
        self.outcomes: dict[str, int] = {}
        self.faults: dict[str, Fault] = {}
        self.calls: Counter[str] = Counter()
        self._moto = Dispatcher()
        # moto's conditions are not atomic between threads.
        self._one_at_a_time = threading.Lock()

    def reset(self) -> None:
        """Forget posts and faults. Tables stay: each test has groups and users of its own."""
        for each in (self.posts, self.deleted, self.outcomes, self.faults, self.calls):
            each.clear()

    @property
    def aws(self) -> dict[str, str]:
        """Keyword arguments of a boto client."""
        return {
            "endpoint_url": self.url,
            "region_name": REGION,
            "aws_access_key_id": "unit",
            "aws_secret_access_key": "unit",
        }

    @property
    def environ(self) -> dict[str, str]:
        """What a function needs to call this and not AWS."""
        return {
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ACCESS_KEY_ID": "unit",
            "AWS_SECRET_ACCESS_KEY": "unit",
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ENDPOINT_URL_APIGATEWAYMANAGEMENTAPI": f"{self.url}/{STAGE}",
            "USER_POOL_ID": POOL,
            "USER_POOL_CLIENT_ID": CLIENT,
        }

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        request = Request(environ)
        _, is_connection, connection_id = request.path.partition(f"/{STAGE}/@connections/")
        if is_connection:
            return self._connection(request, connection_id)(environ, start_response)
        is_pool = request.path == f"/{POOL}/.well-known/jwks.json"
        operation = "keys" if is_pool else environ.get("HTTP_X_AMZ_TARGET", "").rpartition(".")[2]
        with self._one_at_a_time:
            self.calls[operation] += 1
            fault = self.faults.get(operation)
            if fault is not None and fault.times > 0:
                fault.times -= 1
                answer = Response(json.dumps({"__type": fault.code}), fault.status)
                return answer(environ, start_response)
            return list((_keys() if is_pool else self._moto)(environ, start_response))

    def _connection(self, request: Request, connection_id: str) -> Response:
        if request.method == "DELETE":
            self.deleted.append(connection_id)
            return Response(status=204)
        status = self.outcomes.get(connection_id, 200)
        if status == 200:
            self.posts.setdefault(connection_id, []).append(orjson.loads(request.get_data()))
        return Response(status=status)


@contextmanager
def running_cloud() -> Iterator[Cloud]:
    """A cloud on a free port of 127.0.0.1, with the tables and queues of serverless.yml."""
    cloud = Cloud()
    server = make_server("127.0.0.1", 0, cloud, threaded=True, request_handler=Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        cloud.url = f"http://127.0.0.1:{server.server_port}"
        service = load_service(ROOT / "serverless.yml", stage=STAGE, region=REGION, params={})
        asyncio.run(create_tables(service.tables.values(), cloud.aws))
        with (
            closing(boto3.client("dynamodb", **cloud.aws)) as cloud.dynamodb,
            closing(boto3.client("sqs", **cloud.aws)) as cloud.sqs,
        ):
            for queue in service.queues.values():
                cloud.sqs.create_queue(QueueName=queue.name, Attributes=queue.attributes)
            yield cloud
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def token(user: str, **changes: Any) -> str:
    """An access token of the pool; a change to None takes a claim away."""
    now_s = int(time.time())
    claims = {
        "sub": f"id-of-{user}",
        "iss": f"https://cognito-idp.{REGION}.amazonaws.com/{POOL}",
        "client_id": CLIENT,
        "token_use": "access",
        "username": user,
        "iat": now_s,
        "exp": now_s + 3600,
    } | changes
    made = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode(made, KEY, algorithm="RS256", headers={"kid": "k1"})


def _keys() -> Response:
    public = jwt.algorithms.RSAAlgorithm.to_jwk(KEY.public_key(), as_dict=True)
    return Response(json.dumps({"keys": [{**public, "kid": "k1"}]}), content_type="application/json")
