from __future__ import annotations

import uuid

from hypothesis import given
from hypothesis import strategies as st

from groupcast.model import epoch_ms_of, iso_ms, uuid7
from groupcast.slots import SLOTS, slot_of


@given(st.integers(min_value=0, max_value=4_000_000_000_000))
def test_times_survive_their_iso_form(epoch_ms: int) -> None:
    """To the millisecond."""
    assert epoch_ms_of(iso_ms(epoch_ms)) == epoch_ms


def test_iso_times_have_milliseconds_and_z() -> None:
    """In UTC."""
    assert iso_ms(0) == "1970-01-01T00:00:00.000Z"
    assert iso_ms(1_795_368_000_007) == "2026-11-22T17:20:00.007Z"


@given(st.integers(min_value=0, max_value=2**48 - 1), st.binary(min_size=10, max_size=10))
def test_uuid7_has_version_variant_and_time(epoch_ms: int, random: bytes) -> None:
    """The layout of RFC 9562, section 5.7."""
    made = uuid.UUID(uuid7(epoch_ms, random))
    assert made.version == 7
    assert made.variant == uuid.RFC_4122
    assert made.int >> 80 == epoch_ms


def test_uuid7_sorts_by_time() -> None:
    """A later message has a greater id, whatever its random bits."""
    assert uuid7(1000, b"\xff" * 10) < uuid7(1001, b"\0" * 10)


def test_slots_are_uniform() -> None:
    """Each sixteenth of the range has about a sixteenth of the connections (chi-squared, 15 degrees)."""
    counts = [0] * 16
    for number in range(16_000):
        counts[slot_of(f"connection-{number}=") * 16 // SLOTS] += 1
    chi_squared = sum((count - 1000) ** 2 / 1000 for count in counts)
    assert chi_squared < 45
