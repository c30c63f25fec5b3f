"""The one boundary between what triggers functions (gateway, stream mapping) and what runs them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping


class Invoker(Protocol):
    """Runs a function of the service by name, as Lambda's synchronous Invoke does."""

    async def invoke(self, function: str, event: Mapping[str, Any]) -> Any:
        """Return what the handler returned (JSON values only).

        Raises FunctionError where the handler raised, timed out or lost its environment. Waits for
        an environment when all are busy; cancelling the call leaves the environment to finish alone.
        """
