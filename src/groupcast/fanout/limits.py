"""Bounds of the fan-out's window and of its retries."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of the window and of retries. Lambda has 1,024 file descriptors, hence at most 512.

    Retries are short on purpose: the batch, and with it the group's next messages, waits for them.
    """

    window_start: int = 64
    window_min: int = 4
    window_max: int = 256
    window_step: int = 16
    retry_base_s: float = 0.025
    retry_cap_s: float = 0.25
    # After a 429 the waits of a connection grow up to this, over frames and invocations.
    refusal_cap_s: float = 1.0
    full_base_s: float = 0.1
    # A post that fails for reasons of the network or the service is given up, and handed on, after these.
    attempts_max: int = 10
    # When only retries are left, those that begin later than this after the last progress are handed on.
    # Those of clients whose buffer is full are handed on at once.
    grace_s: float = 0.1
    # The share of others' 429s never counts for less: where no other is turned away, four in a row tell
    # a slow client.
    share_floor: float = 0.03


# For leftovers. No lane waits for them, so a client has longer to show that it reads. They only meet clients
# that had trouble before, which says little of the account: it takes nine 429s in a row.
PATIENT = Limits(retry_base_s=0.1, retry_cap_s=0.1, grace_s=0.5, share_floor=0.2)
