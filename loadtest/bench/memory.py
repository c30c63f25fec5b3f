"""Measures cold starts and the memory each function should have: `python -m loadtest.bench.memory`.

Lambda gives a loading module a whole vCPU at any memory size, and a running handler a share of it: one core
at 1,769 MB. It bills memory times duration. CPU-bound work costs the same at any size and ends sooner in a
larger one; waiting costs more there. So a function gets the smallest size that answers the first call within
COLD_MS_MAX, uses at most WARM_MS_MAX of CPU for a later call, and leaves spare memory.

Each function runs from the deployed artifact, built for this machine, over TLS and against a local stack.
With `--against CHECKOUT` that version's functions run alternately with these.

Sources: https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html and
https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import signal
import ssl
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from groupcast_cli.signin import sign_in
from loadtest.bench import fixtures
from loadtest.bench.deployed import CORE_MB, STAGE, Deployed, deployed
from loadtest.bench.lifecycle import EVENTS, Life
from loadtest.bench.memory_table import Sample, as_table
from loadtest.bench.quota import control_group
from loadtest.bench.tlsfront import tls_front
from loadtest.control.children import ROOT, child
from localcloud.cloud import ACCESS_KEY_ID, SECRET_ACCESS_KEY
from localcloud.gateway.events import Api
from localcloud.service.model import REGION

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

SIZES_MB = (256, 512, 1024, CORE_MB)
ROUNDS = 3
CALLS = 40
# Lift groupcast's own limits, which would distort the measurement.
UNLIMITED = {
    "MESSAGES_PER_SECOND": "1000",
    "MESSAGE_BURST": "10000",
    "GROUP_MESSAGES_PER_SECOND": "10000",
    "GROUP_BYTES_PER_SECOND": str(1024**3),
    "CONNECTIONS_PER_USER": "100",
}


async def measure(versions: Sequence[Deployed], functions: Sequence[str], rounds: int) -> list[Sample]:
    """Run every function in new processes: at each size, with the versions in turn, `rounds` times."""
    samples: list[Sample] = []
    with control_group() as group:
        if group is None:
            print("no CPU quota: this machine does not allow creating a control group", file=sys.stderr)
        async with _stack() as (environ, life):
            for number in range(rounds):
                for size_mb in SIZES_MB:
                    order = versions if number % 2 == 0 else versions[::-1]
                    for function in EVENTS:
                        for version in order:
                            said = f"  {number + 1}/{rounds} {size_mb} MB {function} {version.name}"
                            print(said, file=sys.stderr, flush=True)
                            figures = await _call(version, function, life, environ, size_mb, group)
                            if function in functions:
                                samples.append(Sample(version.name, function, size_mb, **figures))
    return samples


async def _call(
    version: Deployed,
    function: str,
    life: Life,
    environ: dict[str, str],
    size_mb: int,
    group: Path | None,
) -> dict[str, Any]:
    events = [EVENTS[function](life, f"memory{number}=") for number in range(CALLS)]
    figures = await version.call(function, events, environ, size_mb, group)
    life.learn(function, figures.pop("answers")[0])
    if group is None:
        figures["wall_ms"] = None
    return figures


@contextlib.asynccontextmanager
async def _stack() -> AsyncIterator[tuple[dict[str, str], Life]]:
    """A local stack behind TLS: the functions' environment, and the life of a signed-in user."""
    command = [str(Path(sys.executable).parent / "groupcast"), "up", "--json", "--auth", "cognito"]
    ports = ["--page-port", "0", "--gateway-port", "0", "--log", "build/memory.log"]
    async with contextlib.AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        chain, key, ca = fixtures.certificate(folder)
        line = await stack.enter_async_context(
            child(*command, *ports, stop_by=signal.SIGINT, errors=Path("build/memory.err"))
        )
        said = json.loads(line)
        sink = stack.enter_context(fixtures.sink("--tls", chain, key))
        behind_tls = {
            name: await stack.enter_async_context(tls_front(said[name], chain, key))
            for name in ("dynamodbUrl", "sqsUrl", "cognitoUrl")
        }
        user = said["users"][0]
        token = sign_in(said["cognitoUrl"], said["clientId"], user["name"], user["password"]).access
        environ = _environ(said, behind_tls, sink, _authorities(folder, ca))
        yield environ, Life(Api("memory", STAGE, REGION, "127.0.0.1"), token)


def _environ(said: dict[str, Any], behind_tls: dict[str, str], sink: int, ca: str) -> dict[str, str]:
    return {
        **UNLIMITED,
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ACCESS_KEY_ID": ACCESS_KEY_ID,
        "AWS_SECRET_ACCESS_KEY": SECRET_ACCESS_KEY,
        "AWS_ENDPOINT_URL_DYNAMODB": behind_tls["dynamodbUrl"],
        "AWS_ENDPOINT_URL_SQS": behind_tls["sqsUrl"],
        "AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER": behind_tls["cognitoUrl"],
        "AWS_ENDPOINT_URL_APIGATEWAYMANAGEMENTAPI": f"https://127.0.0.1:{sink}/{STAGE}",
        "SSL_CERT_FILE": ca,
        "AWS_CA_BUNDLE": ca,
        "USER_POOL_ID": said["userPoolId"],
        "USER_POOL_CLIENT_ID": said["clientId"],
    }


def _authorities(folder: Path, ca: str) -> str:
    """The system's CAs and ours in one file: loading all of them is part of a cold start."""
    system = ssl.get_default_verify_paths().cafile
    bundle = folder / "bundle.pem"
    bundle.write_text((Path(system).read_text() if system else "") + Path(ca).read_text())
    return str(bundle)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m loadtest.bench.memory", description=__doc__)
    parser.add_argument("--against", type=Path, metavar="CHECKOUT", help="of the version to compare with")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="(default: %(default)s)")
    parser.add_argument(
        "--functions", nargs="+", choices=EVENTS, default=list(EVENTS), help="to report (default: all)"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="groupcast-memory-") as folder:
        versions = [deployed("after", ROOT, Path(folder))]
        if options.against:
            versions.insert(0, deployed("before", options.against.resolve(), Path(folder)))
        samples = asyncio.run(measure(versions, options.functions, options.rounds))
    memory = {one: versions[0].service.functions[one].memory_mb for one in options.functions}
    print(as_table(samples, options.functions, SIZES_MB, memory))


if __name__ == "__main__":
    main()
