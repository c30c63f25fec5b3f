"""Command-line options and scenario files, which have the same names, to values."""

from __future__ import annotations

import argparse
import re
import shlex
import tomllib
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from loadtest.errors import ScenarioError
from loadtest.plan.scenario import ARRIVALS, Scenario, Stage

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

T = TypeVar("T")

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)?")
_UNITS_S = {"ms": 0.001, "s": 1.0, None: 1.0, "m": 60.0, "h": 3600.0}
# What a field of Scenario is called on the command line and in a file.
_NAMES = {
    "duration_s": "duration",
    "warmup_s": "warmup",
    "drain_s": "drain",
    "size_bytes": "size",
    "stages": "stage",
}


def add_scenario_arguments(parser: argparse.ArgumentParser) -> None:
    """What Scenario has. A value not given here comes from --scenario, or else is Scenario's default."""
    default = Scenario()
    load = parser.add_argument_group("load", argument_default=argparse.SUPPRESS)

    def add(*flags: str, kind: Callable[[str], Any], value: object, means: str, **more: Any) -> None:
        load.add_argument(*flags, type=kind, help=f"{means} (default: {value})", **more)

    add("-u", "--users", kind=int, value=default.users, means="connections")
    add("-r", "--connect-rate", kind=float, value=f"{default.connect_rate:g}", means="connects a second")
    add("--groups", kind=int, value=default.groups, means="the users are spread over")
    add("--rate", kind=float, value=f"{default.rate:g}", means="messages a second, over all groups")
    means = "how messages follow each other"
    add("--arrival", kind=str, value=default.arrival, means=means, choices=ARRIVALS)
    add("-t", "--duration", kind=duration_s, value=f"{default.duration_s:g}s", means="e.g. 90s, 2m")
    add("--warmup", kind=duration_s, value=f"{default.warmup_s:g}s", means="traffic before latencies count")
    add("--drain", kind=duration_s, value=f"{default.drain_s:g}s", means="wait for what is under way")
    add("--processes", kind=int, value=default.processes, means="to spread the users over")
    add("--size", kind=int, value=default.size_bytes, means="of a message's text, in bytes")
    add("--seed", kind=int, value=default.seed, means="of the schedule")
    load.add_argument(
        "-s",
        "--stage",
        action="append",
        type=stage,
        metavar="TIME:USERS",
        help="in place of -u and -t, as often as there are stages: -s 30s:200 -s 2m:1000",
    )
    load.add_argument("--scenario", type=Path, metavar="FILE.toml", help="has the names of these options")


def scenario_of(options: argparse.Namespace) -> Scenario:
    """The scenario of parsed options. Raises ScenarioError."""
    given = vars(options)
    values = {**file_values(given.get("scenario")), **given}
    if "users" in given or "duration" in given:
        # Said on the command line, these two are meant in place of a file's stages.
        values["stage"] = given.get("stage")
    known = {field.name: values.get(_NAMES.get(field.name, field.name)) for field in fields(Scenario)}
    chosen = {name: value for name, value in known.items() if value is not None}
    return Scenario(**{**chosen, "stages": tuple(chosen.get("stages", ()))})


def file_values(path: Path | None) -> Mapping[str, Any]:
    if path is None:
        return {}
    try:
        values = tomllib.loads(path.read_text())
        return {name.replace("-", "_"): _file_value(name, value) for name, value in values.items()}
    except (OSError, ValueError, argparse.ArgumentTypeError) as error:
        raise ScenarioError(f"{path}: {error}") from error


def words(text: str) -> tuple[str, ...]:
    """The words of a command line."""
    try:
        return tuple(shlex.split(text))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text}: {error}") from error


def duration_s(text: str) -> float:
    """Seconds of a text such as 500ms, 30s, 2m, 1h or 30."""
    form = _DURATION.fullmatch(text.strip())
    if form is None:
        raise argparse.ArgumentTypeError(f"{text} is no time such as 30s or 2m")
    return float(form[1]) * _UNITS_S[form[2]]


def stage(text: str) -> Stage:
    """A stage of a text such as 30s:200."""
    time, colon, users = text.partition(":")
    if not colon or not users.isdecimal():
        raise argparse.ArgumentTypeError(f"{text} is no stage such as 30s:200")
    return Stage(duration_s(time), int(users))


def _file_value(option: str, value: Any) -> Any:
    name = option.replace("-", "_")
    defaults = {_NAMES.get(field.name, field.name): field.default for field in fields(Scenario)}
    if name in {"threshold", "abort_on"}:
        return _checked(name, value, list)
    if name == "stage":
        return [stage(text) for text in _checked(name, value, list)]
    if name in {"duration", "warmup", "drain"}:
        return duration_s(str(value))
    if name not in defaults:
        raise ValueError(f"{option} is not one of {', '.join((*defaults, 'threshold', 'abort_on'))}")
    default = defaults[name]
    if isinstance(default, float):
        return float(_checked(name, value, (int, float)))
    return _checked(name, value, type(default))


def _checked(name: str, value: Any, kind: type[T] | tuple[type[T], ...]) -> T:
    if not isinstance(value, kind) or isinstance(value, bool):
        raise ValueError(f"{name} can't be {value!r}")  # noqa: TRY004 - a file's value, not a program's type
    return value
