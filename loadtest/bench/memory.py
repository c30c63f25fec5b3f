"""How much memory each function should have: `python -m loadtest.bench.memory`.

Lambda gives a function CPU by its memory, one core at 1,769 MB, and bills memory times duration: work that
is all CPU costs the same at any size, and is done sooner in a larger one. So a function gets the smallest
size that brings its cold start below COLD_MS_MAX and leaves room above what it uses; one that no size serves
gets a core.

Source: https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

from loadtest.bench.events import offers
from loadtest.control.children import ROOT, child
from localcloud.cloud import ACCESS_KEY_ID, SECRET_ACCESS_KEY
from localcloud.gateway.events import (
    Api,
    Client,
    ConnectRequest,
    Stamp,
    authorizer_event,
    connect_event,
    disconnect_event,
    message_event,
)
from localcloud.service import load_service
from localcloud.signin import sign_in

REGION = "us-east-1"
STAGE = "dev"
CORE_MB = 1769
SIZES_MB = (256, 512, 1024, CORE_MB)
COLD_MS_MAX = 1000.0
ROOM = 1.5
CALLS = 40
API = Api("memory", STAGE, REGION, "127.0.0.1")
GROUP = "group1"

Call: TypeAlias = Callable[[str, dict[str, Any]], dict[str, Any]]


def size_mb(cold_cpu_ms: float, peak_mb: float) -> int:
    """The smallest size that serves."""
    for size in SIZES_MB:
        if peak_mb * ROOM <= size and cold_cpu_ms * CORE_MB / size <= COLD_MS_MAX:
            return size
    return CORE_MB


def steps(token: str) -> list[tuple[str, Call]]:
    """Functions in the order of a connection's life, with what makes an event of theirs."""
    query = ConnectRequest((("Host", "127.0.0.1"),), f"token={token}")

    def message(action: str, **fields: Any) -> tuple[str, Call]:
        body = json.dumps({"action": action, **fields})
        return action, lambda one, who: message_event(
            API, _client(one), _stamp(), route_key=action, message_id="m", body=body, authorizer=who
        )

    return [
        ("authorize", lambda one, _: authorizer_event(API, _client(one), _stamp(), query)),
        ("connect", lambda one, who: connect_event(API, _client(one), _stamp(), query, who)),
        message("joinGroup", groupId=GROUP),
        message("sendMessage", message="hello"),
        message("history", limit=50),
        message("ping"),
        message("renew", token=token),
        ("default", message("nothing")[1]),
        message("leaveGroup"),
        ("fanoutMessage", lambda _one, _who: {"Records": offers(GROUP, 1, 200)}),
        (
            "disconnect",
            lambda one, who: disconnect_event(
                API, _client(one), _stamp(), code=1000, reason="", authorizer=who
            ),
        ),
    ]


async def measure() -> list[tuple[str, dict[str, Any]]]:
    """Each function in a process of its own, on the tables and the user pool of a local stack."""
    command = [str(Path(sys.executable).parent / "groupcast"), "up", "--json", "--auth", "cognito"]
    ports = ["--page-port", "0", "--gateway-port", "0", "--log", "build/memory.log"]
    async with child(*command, *ports, stop_by=signal.SIGINT, errors=Path("build/memory.err")) as line:
        said = json.loads(line)
        user = said["users"][0]
        token = sign_in(said["cognitoUrl"], said["clientId"], user["name"], user["password"]).access
        who: dict[str, Any] = {}
        found = []
        for name, event in steps(token):
            print(f"  {name} …", file=sys.stderr, flush=True)
            events = [event(f"memory{number}=", who) for number in range(CALLS)]
            figures = await _run(name, events, _environment(name, said))
            if name == "authorize":
                answer = figures["answers"][0]
                who = {**answer["context"], "principalId": answer["principalId"]}
            found.append((name, figures))
        return found


async def _run(name: str, events: list[dict[str, Any]], environment: dict[str, str]) -> dict[str, Any]:
    module = _service().functions[name].handler.rpartition(".")[0]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "loadtest.bench.function", module),
        cwd=ROOT,
        env=environment,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    out, _ = await process.communicate(json.dumps(events).encode())
    figures: dict[str, Any] = json.loads(out)
    return figures


def _environment(name: str, said: dict[str, Any]) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        **_service().functions[name].environment,
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ACCESS_KEY_ID": ACCESS_KEY_ID,
        "AWS_SECRET_ACCESS_KEY": SECRET_ACCESS_KEY,
        "AWS_ENDPOINT_URL_DYNAMODB": said["dynamodbUrl"],
        "AWS_ENDPOINT_URL_SQS": said["sqsUrl"],
        "AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER": said["cognitoUrl"],
        "AWS_ENDPOINT_URL_APIGATEWAYMANAGEMENTAPI": said["managementUrl"],
        "USER_POOL_ID": said["userPoolId"],
        "USER_POOL_CLIENT_ID": said["clientId"],
    }


def _service() -> Any:
    return load_service(ROOT / "serverless.yml", stage=STAGE, region=REGION, params={"auth": "cognito"})


def _client(connection_id: str) -> Client:
    return Client(connection_id, time.time_ns() // 1_000_000, "127.0.0.1", None)


def _stamp() -> Stamp:
    return Stamp("r", time.time_ns() // 1_000_000)


def main() -> None:
    print(
        "function        cold CPU  warm CPU    peak  "
        + "".join(f"cold at {mb:,} MB  " for mb in SIZES_MB)
        + "size"
    )
    for name, one in asyncio.run(measure()):
        cold_ms, peak_mb = one["cold_cpu_ms"], one["peak_mb"]
        cold = "".join(
            f"{cold_ms * CORE_MB / mb:>{len(f'cold at {mb:,} MB') - 3},.0f} ms  " for mb in SIZES_MB
        )
        size = size_mb(cold_ms, peak_mb)
        warm_ms = one["warm_cpu_ms"]
        print(f"{name:<14} {cold_ms:>6.0f} ms {warm_ms:>6.2f} ms {peak_mb:>4.0f} MB  {cold}{size:,} MB")


if __name__ == "__main__":
    main()
