"""Scenarios from the command line and from scenario files, which use the same names."""

from __future__ import annotations

import argparse
import re
import shlex
import tomllib
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from msgspec.structs import asdict

from loadtest.errors import ScenarioError
from loadtest.plan.scenario import ARRIVALS, Scenario, Stage
from localcloud.service.checks import Section, checked

if TYPE_CHECKING:
    from collections.abc import Callable

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)?")
_UNITS_S = {"ms": 0.001, "s": 1.0, None: 1.0, "m": 60.0, "h": 3600.0}
# Options whose name differs from the field of Scenario.
_NAMES = {
    "duration_s": "duration",
    "warmup_s": "warmup",
    "drain_s": "drain",
    "size_bytes": "size",
    "stages": "stage",
}


_TIMES = {"duration", "warmup", "drain"}


class ScenarioFile(Section, rename="kebab"):
    """Options by name, all of them optional. Times are texts such as 2m, or seconds."""

    users: int | None = None
    connect_rate: float | None = None
    groups: int | None = None
    rate: float | None = None
    arrival: Literal["poisson", "uniform"] | None = None
    duration: Any = None
    warmup: Any = None
    drain: Any = None
    processes: int | None = None
    size: int | None = None
    seed: int | None = None
    stage: list[str] | None = None
    threshold: list[str] | None = None
    abort_on: list[str] | None = None


def add_scenario_arguments(parser: argparse.ArgumentParser) -> None:
    """Add an option for each field of Scenario. Unset ones come from --scenario, or else are its defaults."""
    default = Scenario()
    load = parser.add_argument_group("load", argument_default=argparse.SUPPRESS)

    def add(*flags: str, kind: Callable[[str], Any], value: object, help_text: str, **more: Any) -> None:
        load.add_argument(*flags, type=kind, help=f"{help_text} (default: {value})", **more)

    add("-u", "--users", kind=int, value=default.users, help_text="connections")
    add("-r", "--connect-rate", kind=float, value=f"{default.connect_rate:g}", help_text="connects a second")
    add("--groups", kind=int, value=default.groups, help_text="number of groups")
    add("--rate", kind=float, value=f"{default.rate:g}", help_text="messages a second over all groups")
    add("--arrival", kind=str, value=default.arrival, help_text="spacing of messages", choices=ARRIVALS)
    add("-t", "--duration", kind=duration_s, value=f"{default.duration_s:g}s", help_text="such as 90s or 2m")
    add("--warmup", kind=duration_s, value=f"{default.warmup_s:g}s", help_text="time before latencies count")
    add("--drain", kind=duration_s, value=f"{default.drain_s:g}s", help_text="wait for messages under way")
    add("--processes", kind=int, value=default.processes, help_text="worker processes")
    add("--size", kind=int, value=default.size_bytes, help_text="bytes of a message's text")
    add("--seed", kind=int, value=default.seed, help_text="seed of the schedule")
    load.add_argument(
        "-s",
        "--stage",
        action="append",
        type=stage,
        metavar="TIME:USERS",
        help="replaces -u and -t; one for each stage: -s 30s:200 -s 2m:1000",
    )
    load.add_argument("--scenario", type=Path, metavar="FILE.toml", help="a file with these options by name")


def scenario_of(options: argparse.Namespace) -> Scenario:
    """Make the scenario of parsed options. Raises ScenarioError."""
    given = vars(options)
    values = {**file_values(given.get("scenario")), **given}
    if "users" in given or "duration" in given:
        # On the command line, these two replace a file's stages.
        values["stage"] = given.get("stage")
    known = {field.name: values.get(_NAMES.get(field.name, field.name)) for field in fields(Scenario)}
    chosen = {name: value for name, value in known.items() if value is not None}
    return Scenario(**{**chosen, "stages": tuple(chosen.get("stages", ()))})


def file_values(path: Path | None) -> dict[str, Any]:
    """Read a scenario file; `threshold` and `abort_on` are lists of texts. Raises ScenarioError."""
    if path is None:
        return {}
    try:
        raw = {name.replace("_", "-"): value for name, value in tomllib.loads(path.read_text()).items()}
        given = asdict(checked(raw, ScenarioFile, str(path), is_strict=True, raises=ScenarioError))
        values = {name: value for name, value in given.items() if value is not None}
        for name in _TIMES & values.keys():
            values[name] = duration_s(str(values[name]))
        if "stage" in values:
            values["stage"] = [stage(text) for text in values["stage"]]
    except (OSError, ValueError, argparse.ArgumentTypeError) as error:
        raise ScenarioError(f"{path}: {error}") from error
    return values


def words(text: str) -> tuple[str, ...]:
    """Split a command line as a shell does."""
    try:
        return tuple(shlex.split(text))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text}: {error}") from error


def duration_s(text: str) -> float:
    """Read a time such as 500ms, 30s, 2m, 1h or 30 (seconds)."""
    form = _DURATION.fullmatch(text.strip())
    if form is None:
        raise argparse.ArgumentTypeError(f"{text} is not a time such as 30s or 2m")
    return float(form[1]) * _UNITS_S[form[2]]


def stage(text: str) -> Stage:
    """Read a stage such as 30s:200."""
    time, colon, users = text.partition(":")
    if not colon or not users.isdecimal():
        raise argparse.ArgumentTypeError(f"{text} is not a stage such as 30s:200")
    return Stage(duration_s(time), int(users))
