"""The boundary between the users of AWS's JSON services and the client that calls them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping


class Calls(Protocol):
    """One service: `json_api.AwsJsonClient`, or its stand-in in a test of faults."""

    async def call(self, operation: str, payload: Mapping[str, Any]) -> dict[str, Any]:
        """Carry out an operation and return its output. Raises GroupcastError."""
