"""`groupcast doctor`: a line for each check, or one JSON object."""

from __future__ import annotations

import asyncio
import json
import os
import time
from typing import TYPE_CHECKING, Any

from groupcast_cli.doctor.examination import Login, check_names, examine
from groupcast_cli.doctor.finding import Finding, Status
from groupcast_cli.doctor.subject import Subject
from groupcast_cli.signin import PASSWORD_VARIABLE, stage_password
from groupcast_cli.stage import Place, add_place, add_stage
from groupcast_cli.terminal import waiting

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from rich.text import Text

TOKEN_VARIABLE = "GROUPCAST_TOKEN"  # noqa: S105 - its name, no token
STATUS_WIDTH, NAME_WIDTH = 8, 12
STYLES = {Status.OK: "green", Status.TO_DO: "bold red", Status.SKIPPED: "yellow"}


def add_parser(commands: Any) -> None:
    """Add `doctor` to the subparsers of the `groupcast` command."""
    parser = commands.add_parser(
        "doctor",
        help="check a deployed stage within a minute",
        description="Check a deployed stage within a minute, then chat on it and measure that. Each check is "
        "a line: ok, or a fault and its remedy. Exit code 1: there is something to do.",
    )
    add_stage(parser)
    add_place(parser)
    login = parser.add_mutually_exclusive_group()
    login.add_argument(
        "--user",
        metavar="NAME",
        help=f"chat as this user; the password comes from {PASSWORD_VARIABLE} or a prompt",
    )
    login.add_argument("--token", metavar="JWT", help=f"chat with this token (default: {TOKEN_VARIABLE})")
    login.add_argument("--no-chat", action="store_true", help="only check, without connecting")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=_run)


def as_json(stage: str, place: Place, findings: Mapping[str, Finding], seconds: float) -> dict[str, Any]:
    """The report for programs; statuses are "ok", "to do" and "skipped"."""
    return {
        "stage": stage,
        "region": place.region,
        "seconds": round(seconds, 1),
        "counts": _counts(findings),
        "checks": [
            {"name": name, "status": found.status.value, "text": found.text, **_figures(found)}
            for name, found in findings.items()
        ],
    }


def _run(options: argparse.Namespace) -> int:
    place = Place.of(options)
    login = None if options.no_chat else _login(options)
    started = time.monotonic()
    findings = asyncio.run(_findings(options.stage, place, login, quiet=options.json))
    seconds = time.monotonic() - started
    if options.json:
        print(json.dumps(as_json(options.stage, place, findings, seconds), ensure_ascii=False))
    else:
        counts = ", ".join(f"{count} {status}" for status, count in _counts(findings).items())
        print(f"\n{counts}, in {seconds:.0f} s")
    return 1 if any(found.status is Status.TO_DO for found in findings.values()) else 0


async def _findings(stage: str, place: Place, login: Login | None, *, quiet: bool) -> dict[str, Finding]:
    findings: dict[str, Finding] = {}
    names = check_names(login)
    async with Subject(stage, place) as subject:
        with waiting(f"checking {names[0]}", len(names)) as progress:
            async for name, found in examine(subject, login):
                findings[name] = found
                if not quiet:
                    progress.say(_line(name, found))
                following = names[len(findings) : len(findings) + 1]
                progress.advance(len(findings), *(f"checking {name}" for name in following))
    return findings


def _line(name: str, found: Finding) -> Text:
    from rich.text import Text  # noqa: PLC0415 - see terminal.py

    status = (f"{found.status:{STATUS_WIDTH}}", STYLES[found.status])
    return Text.assemble(status, f"{name:{NAME_WIDTH}}{found.text}")


def _login(options: argparse.Namespace) -> Login:
    if options.user is None:
        return Login(token=options.token or os.environ.get(TOKEN_VARIABLE))
    return Login(user=options.user, password=stage_password(options.user, options.stage))


def _counts(findings: Mapping[str, Finding]) -> dict[str, int]:
    return {status.value: sum(found.status is status for found in findings.values()) for status in Status}


def _figures(found: Finding) -> dict[str, Any]:
    return {"figures": dict(found.figures)} if found.figures else {}
