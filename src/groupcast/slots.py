"""A connection's slot: a uniform hash, by which a large group is divided into lanes."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b

SLOTS = 65_536
# 64 lanes of 20,000 serve 1.3 million members; the account's quota is the limit long before that.
LANES_MAX = 64
# Remove a lane only after a group has clearly shrunk; otherwise lanes would change with each pass.
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
    """The slot range of each lane; together they cover all slots. ValueError unless 1 to LANES_MAX lanes."""
    if not 1 <= lanes <= LANES_MAX:
        raise ValueError(f"{lanes} lanes; a group can have 1 to {LANES_MAX}")
    bounds = [SLOTS * lane // lanes for lane in range(lanes + 1)]
    return tuple(SlotRange(bounds[lane], bounds[lane + 1] - 1) for lane in range(lanes))


def lanes_for(members: int, lanes: int, members_per_lane: int) -> int:
    """The number of lanes for a group of `members` that has `lanes` now."""
    wanted = min(max(1, -(-members // members_per_lane)), LANES_MAX)
    if wanted < lanes and members > (lanes - 1) * members_per_lane * SHRINK_RATIO:
        return lanes
    return wanted


def lane_id(group_id: str, lane: int) -> str:
    """The MessageGroupId of a lane: a hash, because that allows only 128 ASCII characters."""
    return f"{blake2b(group_id.encode(), digest_size=16).hexdigest()}-{lane}"
