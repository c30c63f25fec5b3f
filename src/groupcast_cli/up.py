"""`groupcast up`: the whole chat on this machine until Ctrl-C."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import uvloop

from groupcast_cli.announcement import as_json, as_text, for_other_commands
from groupcast_cli.arguments import (
    DEFAULT_GATEWAY_PORT,
    DEFAULT_PAGE_PORT,
    DefaultsFormatter,
    base_path,
    origin,
    pair,
    port,
    positive,
    quota,
    seconds,
    timeout,
)
from groupcast_cli.runfile import published
from groupcast_cli.terminal import INTERRUPTED, Steps, refreshed
from localcloud.cloud import START_STEPS, CloudOptions, LocalCloud
from localcloud.errors import ServiceError, StartError
from localcloud.eventsources.streams import POLL_INTERVAL_S
from localcloud.gateway import Faults, GatewayLimits
from localcloud.hops import AWS
from localcloud.origins import OriginPolicy
from localcloud.service.definition import load_service
from localcloud.service.model import REGION

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from localcloud.service.model import Service

SERVICE_FILE = "serverless.yml"
AUTH_MODES = ("none", "cognito")
HOP_PROFILES = {"none": None, "aws": AWS}
# Where a hop profile draws a record's whole way to its function, looking for records must take little of it.
HOPS_POLL_INTERVAL_S = 0.05
DEFAULT_LOG = Path("build/functions.log")


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to those of `groupcast`."""
    up = commands.add_parser(
        "up",
        help="run the whole chat on this machine until Ctrl-C",
        formatter_class=DefaultsFormatter,
    )
    limits = GatewayLimits()
    up.add_argument("--page-port", type=port, default=DEFAULT_PAGE_PORT, help="port of the page; 0: any free")
    up.add_argument(
        "--gateway-port", type=port, default=DEFAULT_GATEWAY_PORT, help="port of the gateway; 0: any free"
    )
    up.add_argument(
        "--base-path", type=base_path, metavar="PATH", help="path of the gateway, as a custom domain has one"
    )
    up.add_argument(
        "--data", type=Path, metavar="DIR", help="folder that keeps the tables over restarts; made if missing"
    )
    up.add_argument(
        "--allow-origin",
        action="append",
        default=[],
        metavar="ORIGIN",
        type=origin,
        help="let pages of this origin connect, such as https://chat.example.com; pages of this machine "
        "always may; may be repeated",
    )
    up.add_argument("--auth", choices=AUTH_MODES, default="none", help="who may connect; none: anyone")
    up.add_argument("--stage", default="dev", help="stage of serverless.yml")
    up.add_argument(
        "--param",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        type=pair,
        help="parameter of serverless.yml; may be repeated",
    )
    up.add_argument(
        "--log", type=Path, default=DEFAULT_LOG, metavar="FILE", help="file for functions' output"
    )
    up.add_argument(
        "--timeline",
        type=Path,
        metavar="FILE",
        help="file for the time of each message at each point on its way",
    )
    up.add_argument(
        "--handler",
        action="append",
        default=[],
        metavar="FUNCTION=MODULE.NAME",
        type=pair,
        help="run this handler instead of a function's own; may be repeated",
    )
    up.add_argument("--in-process", action="store_true", help="run functions in this process, for a debugger")
    up.add_argument(
        "--environments", type=positive, default=4, metavar="N", help="environments of a function, at most"
    )
    up.add_argument(
        "--timeout",
        action="append",
        default=[],
        metavar="FUNCTION=SECONDS",
        type=timeout,
        help="timeout of a function instead of its own; may be repeated",
    )
    up.add_argument(
        "--poll-interval-s",
        type=seconds,
        metavar="S",
        default=argparse.SUPPRESS,
        help=f"seconds between polls of a stream (default: {POLL_INTERVAL_S}; with --hops aws "
        f"{HOPS_POLL_INTERVAL_S})",
    )
    up.add_argument(
        "--stream-shards",
        type=positive,
        metavar="N",
        default=1,
        help="shards of a table's stream; a new table's has 4 on AWS",
    )
    up.add_argument(
        "--hops", choices=HOP_PROFILES, default="none", help="delays between services; aws: as slow as there"
    )
    up.add_argument(
        "--idle-timeout-s",
        type=seconds,
        metavar="S",
        default=limits.idle_timeout_s,
        help="close idle connections after so many seconds",
    )
    up.add_argument(
        "--lifetime-s",
        type=seconds,
        metavar="S",
        default=limits.lifetime_s,
        help="close connections after so many seconds",
    )
    up.add_argument(
        "--faults",
        type=_faults,
        default="0,0,0,0",
        metavar="THROTTLE,ERROR,RESET[,GONE]",
        help="shares of posts that fail with 429, 500, a reset connection or a false 410",
    )
    up.add_argument(
        "--account-quota",
        type=quota,
        metavar="RATE[,BURST]",
        help="requests a second of the account, as API Gateway limits them; BURST: half of RATE unless given",
    )
    up.add_argument(
        "--vague-429", action="store_true", help="429 of @connections without the name of the limit"
    )
    up.add_argument("--json", action="store_true", help="print all addresses as one line of JSON")
    up.set_defaults(run=_run)


def _faults(text: str) -> Faults:
    try:
        throttle, error, reset, gone = (float(part) for part in f"{text},0".split(",")[:4])
        return Faults(throttle_ratio=throttle, error_ratio=error, reset_ratio=reset, gone_ratio=gone)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text} is not shares such as 0.3,0.05,0.05,0.1") from error


def _run(options: argparse.Namespace) -> int:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_until_told(options))


async def _until_told(options: argparse.Namespace) -> int:
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
    service = _with_handlers(_service(root, options), options.handler)
    options.log.parent.mkdir(parents=True, exist_ok=True)
    async with _started(service, _cloud_options(root, options), quiet=options.json) as cloud:
        with published(root, cloud.gateway_port, for_other_commands(cloud)):
            ready.set()
            print(as_json(cloud) if options.json else as_text(cloud, options.log), flush=True)
            died = await cloud.part_died()
    raise StartError(f"{died} ended by itself; everything else was stopped")


@contextlib.asynccontextmanager
async def _started(service: Service, options: CloudOptions, *, quiet: bool) -> AsyncIterator[LocalCloud]:
    """The running cloud; unless `quiet`, stdout tells of the steps of its start."""
    if quiet:
        async with LocalCloud(service, options) as cloud:
            yield cloud
        return
    print(f"starting {service.name} (stage {service.stage})", flush=True)
    async with contextlib.AsyncExitStack() as stack:
        with Steps(sys.stdout, of=START_STEPS, is_ticking=False) as steps:
            async with refreshed(steps):
                cloud = await stack.enter_async_context(LocalCloud(service, options, steps.step))
        yield cloud


def _service(root: Path, options: argparse.Namespace) -> Service:
    params = dict(options.param)
    # The cloud must know it, too.
    if params.setdefault("auth", options.auth) != options.auth:
        raise ServiceError(
            f"--param auth={params['auth']} contradicts --auth {options.auth}: give --auth alone"
        )
    timeouts = dict(options.timeout)
    return load_service(
        root / SERVICE_FILE, stage=options.stage, region=REGION, params=params, timeouts=timeouts
    )


def _cloud_options(root: Path, options: argparse.Namespace) -> CloudOptions:
    return CloudOptions(
        root=root,
        page_port=options.page_port,
        gateway_port=options.gateway_port,
        base_path=options.base_path or "",
        data=options.data,
        origins=OriginPolicy(frozenset(options.allow_origin)),
        auth=options.auth,
        in_process=options.in_process,
        log=None if options.in_process else options.log,
        timeline=options.timeline,
        environments_per_function=options.environments,
        poll_interval_s=_poll_interval_s(options),
        limits=GatewayLimits(
            idle_timeout_s=options.idle_timeout_s,
            lifetime_s=options.lifetime_s,
            account_quota=options.account_quota,
            says_whose_limit=not options.vague_429,
        ),
        faults=options.faults,
        hops=HOP_PROFILES[options.hops],
        stream_shards=options.stream_shards,
    )


def _poll_interval_s(options: argparse.Namespace) -> float:
    default_s = POLL_INTERVAL_S if options.hops == "none" else HOPS_POLL_INTERVAL_S
    return float(getattr(options, "poll_interval_s", default_s))


def _with_handlers(service: Service, handlers: Sequence[tuple[str, str]]) -> Service:
    """The service with other code in the place of some functions', to compare the two."""
    functions = dict(service.functions)
    for name, handler in handlers:
        if name not in functions:
            raise ServiceError(f"--handler: there is no function {name}; there are {', '.join(functions)}")
        functions[name] = replace(functions[name], handler=handler)
    return replace(service, functions=functions)
