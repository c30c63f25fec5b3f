"""Where a connection stands inside its group: a uniform number that makes a group divisible."""

from __future__ import annotations

from hashlib import blake2b

SLOTS = 65_536


def slot_of(connection_id: str) -> int:
    """The slot of a connection, 0…65535, the same in every process."""
    return int.from_bytes(blake2b(connection_id.encode(), digest_size=2).digest(), "big")
