"""The interface between triggers (gateway, event source mappings) and the runner of functions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping


class Invoker(Protocol):
    """Runs a function of the service by name, like Lambda's synchronous Invoke."""

    async def invoke(self, function: str, event: Mapping[str, Any]) -> Any:
        """Return the handler's result (JSON values only).

        Raises FunctionError if the handler raised, timed out or lost its environment. Waits for an
        environment if all are busy. Cancelling the call does not stop the handler.
        """
