"""Where a connection stands inside its group: a uniform number that makes a group divisible into lanes."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b

SLOTS = 65_536
# So many lanes serve 1.3 million members at 20,000 a lane; the account's quota binds long before.
LANES_MAX = 64
# A group loses a lane only when it has clearly shrunk, or it would change with each pass.
SHRINK_RATIO = 0.8


@dataclass(frozen=True, slots=True)
class SlotRange:
    """The slots from `first` to `last`, both included."""

    first: int
    last: int

    @property
    def width(self) -> int:
        return self.last - self.first + 1


ALL_SLOTS = SlotRange(0, SLOTS - 1)


def slot_of(connection_id: str) -> int:
    """The slot of a connection, 0…65535, the same in every process."""
    return int.from_bytes(blake2b(connection_id.encode(), digest_size=2).digest(), "big")


def lane_ranges(lanes: int) -> tuple[SlotRange, ...]:
    """The slots of each lane: every slot in exactly one of them. ValueError for less than 1 or too many."""
    if not 1 <= lanes <= LANES_MAX:
        raise ValueError(f"{lanes} lanes; a group can have 1 to {LANES_MAX}")
    bounds = [SLOTS * lane // lanes for lane in range(lanes + 1)]
    return tuple(SlotRange(bounds[lane], bounds[lane + 1] - 1) for lane in range(lanes))


def lanes_for(members: int, lanes: int, members_per_lane: int) -> int:
    """How many lanes a group of `members` should have that has `lanes` now."""
    wanted = min(max(1, -(-members // members_per_lane)), LANES_MAX)
    if wanted < lanes and members > (lanes - 1) * members_per_lane * SHRINK_RATIO:
        return lanes
    return wanted


def lane_id(group_id: str, lane: int) -> str:
    """The MessageGroupId of a lane: at most 128 ASCII characters, whatever the group is called."""
    return f"{blake2b(group_id.encode(), digest_size=16).hexdigest()}-{lane}"
