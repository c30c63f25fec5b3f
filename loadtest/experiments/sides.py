"""What a comparison or a capacity test is put on: a URL, or a local cloud with options of its own."""

from __future__ import annotations

import shlex
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from loadtest.control.localstack import local_stack
from loadtest.errors import ScenarioError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_SCHEMES = ("ws://", "wss://")


@dataclass(frozen=True, slots=True)
class Side:
    """A target with a name. Without `url` it is a local cloud; `arguments` are those of `groupcast up`."""

    label: str
    url: str | None = None
    arguments: tuple[str, ...] = ()


def parse_side(text: str) -> Side:
    """Read LABEL, LABEL=URL or LABEL=OPTIONS of `groupcast up`. Raises ScenarioError."""
    label, _, given = (part.strip() for part in text.partition("="))
    if not label:
        raise ScenarioError(f"{text!r} has no label: write LABEL, LABEL=URL or LABEL='--param NAME=VALUE'")
    if given.startswith(_SCHEMES):
        return Side(label, url=given)
    try:
        arguments = tuple(shlex.split(given))
    except ValueError as error:
        raise ScenarioError(f"{text!r}: {error}") from error
    if arguments and not arguments[0].startswith("-"):
        raise ScenarioError(f"{given!r} is neither a ws:// URL nor options of groupcast up")
    return Side(label, arguments=arguments)


@asynccontextmanager
async def started(side: Side) -> AsyncIterator[str]:
    """The side's URL; its local cloud runs as long as this. Raises LoadTestError where that fails."""
    if side.url is not None:
        yield side.url
        return
    async with local_stack(arguments=side.arguments) as cloud:
        yield cloud.gateway_url
