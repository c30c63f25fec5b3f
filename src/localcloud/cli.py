"""The `groupcast` command."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import math
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import uvloop

from localcloud.cloud import CloudOptions, LocalCloud
from localcloud.errors import LocalCloudError, ServiceError, StartError
from localcloud.gateway import Faults, GatewayLimits
from localcloud.service import load_service
from localcloud.streams import POLL_INTERVAL_S

if TYPE_CHECKING:
    from collections.abc import Sequence

    from localcloud.model import Service

SERVICE_FILE = "serverless.yml"
REGION = "us-east-1"
MAX_PORT = 65_535
AUTH_MODES = ("none",)
DEFAULT_LOG = Path("build/functions.log")
INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; the exit code: 0 done, 1 a part failed, 2 wrong usage, 130 interrupted at start."""
    options = _parser().parse_args(argv)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return int(runner.run(options.run(options)))
    except LocalCloudError as error:
        print(f"groupcast: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="groupcast", description="Serverless group chat.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    up = commands.add_parser(
        "up",
        help="run the whole chat on this machine until Ctrl-C",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    limits = GatewayLimits()
    up.add_argument("--page-port", type=_port, default=3000, help="of the chat page; 0 takes a free one")
    up.add_argument("--gateway-port", type=_port, default=3001, help="of ws:// and @connections; 0 as above")
    up.add_argument("--data", type=Path, metavar="DIR", help="keeps the tables over restarts; not in memory")
    up.add_argument("--auth", choices=AUTH_MODES, default="none", help="who may connect; none: anyone")
    up.add_argument("--stage", default="dev", help="of serverless.yml")
    up.add_argument("--param", action="append", default=[], metavar="NAME=VALUE", type=_pair, help="of it")
    up.add_argument("--log", type=Path, default=DEFAULT_LOG, help="gets what functions write")
    up.add_argument("--timeline", type=Path, metavar="FILE", help="gets when each message passed which point")
    up.add_argument("--handler", action="append", default=[], metavar="FUNCTION=MODULE.NAME", type=_pair)
    up.add_argument("--in-process", action="store_true", help="functions in this process, for a debugger")
    up.add_argument("--environments", type=_positive, default=4, help="a function runs in, at most")
    up.add_argument("--poll-interval-s", type=_seconds, default=POLL_INTERVAL_S, help="of the stream")
    up.add_argument("--idle-timeout-s", type=_seconds, default=limits.idle_timeout_s, help="as on AWS")
    up.add_argument("--lifetime-s", type=_seconds, default=limits.lifetime_s, help="of a connection")
    up.add_argument("--faults", type=_faults, default=Faults(), metavar="THROTTLE,ERROR,RESET", help="shares")
    up.add_argument("--json", action="store_true", help="say where everything is in one line of JSON")
    up.set_defaults(run=_up)
    return parser


def _port(text: str) -> int:
    port = int(text)
    if not 0 <= port <= MAX_PORT:
        raise argparse.ArgumentTypeError(f"{text} is no TCP port")
    return port


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not 1 or more")
    return number


def _seconds(text: str) -> float:
    number = float(text)
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is no time in seconds")
    return number


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"{text} is not NAME=VALUE")
    return name, value


def _faults(text: str) -> Faults:
    try:
        throttle, error, reset = (float(part) for part in text.split(","))
        return Faults(throttle_ratio=throttle, error_ratio=error, reset_ratio=reset)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text} is not three shares such as 0.3,0.05,0.05") from error


async def _up(options: argparse.Namespace) -> int:
    told = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, told.set)
    ready = asyncio.Event()
    serving = asyncio.create_task(_serve(options, ready))
    stopping = asyncio.create_task(told.wait())
    await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
    if serving.done():
        stopping.cancel()
        return await serving
    if not options.json:
        print("\nstopping …", flush=True)
    serving.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await serving
    return 0 if ready.is_set() else INTERRUPTED


async def _serve(options: argparse.Namespace, ready: asyncio.Event) -> int:
    root = Path.cwd()
    params = {"auth": options.auth, **dict(options.param)}
    service = load_service(root / SERVICE_FILE, stage=options.stage, region=REGION, params=params)
    service = _with_handlers(service, options.handler)
    options.log.parent.mkdir(parents=True, exist_ok=True)
    cloud_options = CloudOptions(
        root=root,
        page_port=options.page_port,
        gateway_port=options.gateway_port,
        data=options.data,
        auth=options.auth,
        in_process=options.in_process,
        log=None if options.in_process else options.log,
        timeline=options.timeline,
        environments_per_function=options.environments,
        poll_interval_s=options.poll_interval_s,
        limits=GatewayLimits(idle_timeout_s=options.idle_timeout_s, lifetime_s=options.lifetime_s),
        faults=options.faults,
    )
    if not options.json:
        print(f"starting {service.name} (stage {service.stage}) …", flush=True)
    async with LocalCloud(service, cloud_options) as cloud:
        ready.set()
        print(_as_json(cloud) if options.json else _as_text(cloud, options), flush=True)
        died = await cloud.part_died()
    raise StartError(f"{died} ended by itself; everything else was stopped")


def _with_handlers(service: Service, handlers: Sequence[tuple[str, str]]) -> Service:
    """The service with other code in the place of some functions', to compare the two."""
    functions = dict(service.functions)
    for name, handler in handlers:
        if name not in functions:
            raise ServiceError(f"--handler: there is no function {name}; there are {', '.join(functions)}")
        functions[name] = replace(functions[name], handler=handler)
    return replace(service, functions=functions)


def _as_json(cloud: LocalCloud) -> str:
    return json.dumps(
        {
            "pageUrl": cloud.page_url,
            "gatewayUrl": cloud.gateway_url,
            "managementUrl": cloud.management_url,
            "dynamodbUrl": cloud.dynamodb_url,
            "sqsUrl": cloud.sqs_url,
        }
    )


def _as_text(cloud: LocalCloud, options: argparse.Namespace) -> str:
    return f"""
groupcast is up. Nobody signs in here: a connection is called what ?name= says.

  chat page      {cloud.page_url}
  gateway        {cloud.gateway_url}
  @connections   {cloud.management_url}/@connections/…
  DynamoDB       {cloud.dynamodb_url} (DynamoDB Local, which listens on every interface)
  function logs  {options.log}

Open the page in two windows, or use two more terminals:

  .venv/bin/node node_modules/.bin/wscat -c '{cloud.gateway_url}?name=ann'
  .venv/bin/node node_modules/.bin/wscat -c '{cloud.gateway_url}?name=bob'

and type there, in both the first line, then in one of them the second:

  {{"action":"joinGroup","groupId":"group1"}}
  {{"action":"sendMessage","message":"안녕하세요!"}}

Ctrl-C stops everything."""
