"""The target of a comparison or capacity test: a URL, or a local cloud with its own options."""

from __future__ import annotations

import shlex
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from groupcast_cli.terminal import refreshed
from loadtest.control.localstack import local_stack
from loadtest.errors import ScenarioError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from groupcast_cli.terminal import Steps

_SCHEMES = ("ws://", "wss://")


@dataclass(frozen=True, slots=True)
class NamedTarget:
    """A named target. Without `url` it is a local cloud, started with `arguments` of `groupcast up`."""

    label: str
    url: str | None = None
    arguments: tuple[str, ...] = ()


def parse_target(text: str) -> NamedTarget:
    """Parse LABEL, LABEL=URL or LABEL=OPTIONS (of `groupcast up`). Raises ScenarioError."""
    label, _, given = (part.strip() for part in text.partition("="))
    if not label:
        raise ScenarioError(f"{text!r} has no label: write LABEL, LABEL=URL or LABEL='--param NAME=VALUE'")
    if given.startswith(_SCHEMES):
        return NamedTarget(label, url=given)
    try:
        arguments = tuple(shlex.split(given))
    except ValueError as error:
        raise ScenarioError(f"{text!r}: {error}") from error
    if arguments and not arguments[0].startswith("-"):
        raise ScenarioError(f"{given!r} is neither a ws:// URL nor options of groupcast up")
    return NamedTarget(label, arguments=arguments)


@asynccontextmanager
async def started(target: NamedTarget, steps: Steps) -> AsyncIterator[str]:
    """Yield the target's URL, and run its local cloud meanwhile. Its start is one of the steps.

    Raises LoadTestError if it does not start.
    """
    if target.url is not None:
        yield target.url
        return
    async with AsyncExitStack() as stack:
        steps.step(f"starting a local cloud for {target.label}")
        async with refreshed(steps):
            cloud = await stack.enter_async_context(local_stack(arguments=target.arguments))
        yield cloud.gateway_url
