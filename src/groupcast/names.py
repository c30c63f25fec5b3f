"""Finds look-alike names with Unicode's own data (UTS 39). Pure."""

from __future__ import annotations

import functools
import unicodedata
from bisect import bisect_right
from collections import defaultdict
from itertools import groupby
from typing import NamedTuple

from groupcast.unicode_tables import IGNORABLE, LETTERS, SCRIPTS

PRIVATE = "private"
# More marks on one letter would cover the lines above and below; no language needs them (UTS 39, 5.4).
MAX_MARKS = 4
# Characters that reorder text on display: direction marks, embeddings, overrides, isolates (Bidi_Control).
_BIDI_CONTROLS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_LATIN, _JOINT, _ANY = "Latn", frozenset(("Hanb", "Jpan", "Kore")), "*"


# Not a dataclass: creating one takes longer than loading the rest of the module.
class NameFault(NamedTuple):
    """The reason for refusing a user name: a code for logs and a text for people."""

    code: str
    text: str


def looks_private(group_id: str) -> bool:
    """Whether a group's name seems to begin with `private`.

    Compares only the shapes of letters and digits, and ignores blanks, marks, punctuation and symbols between
    them. Text that is displayed in a different order than it is stored also counts as private.
    """
    if not _BIDI_CONTROLS.isdisjoint(group_id):
        return True
    passes_for, ignorable = _letters(), _ignorable()
    # Bit i is set if the name so far can be read as the first i letters of `private`.
    read = 1
    for c in group_id:
        as_whole = (read & passes_for.get(c, 0)) << 1
        for part in unicodedata.normalize("NFKD", c):
            is_read = unicodedata.category(part)[0] in "LN" and ignorable.of(part) is None
            read = (read & passes_for.get(part, 0)) << 1 | (0 if is_read else read)
        read |= as_whole
        if read >> len(PRIVATE):
            return True
        if not read:
            return False
    return False


def cleaned(name: str) -> str:
    """The name without invisible characters, with runs of blanks collapsed and trimmed."""
    seen = (c for c in name if unicodedata.category(c)[0] != "C" and _ignorable().of(c) is None)
    return " ".join("".join(seen).split())


def name_fault(name: str) -> NameFault | None:
    """The reason why a user name is not allowed, or None.

    A name must be in NFC and consist of characters that Unicode allows in identifiers (and ASCII, as in
    e-mail addresses). They must belong to one script, or to Latin with Chinese, Japanese or Korean ("highly
    restrictive"), with one set of digits and few marks per letter.
    """
    if not unicodedata.is_normalized("NFC", name):
        composed = unicodedata.normalize("NFC", name)
        return NameFault("not-nfc", f"it is not in Unicode's normal form NFC (which is {composed})")
    for c in name:
        if _scripts().of(c) is None:
            called = unicodedata.name(c, "(no name)")
            return NameFault("character", f"it must not contain U+{ord(c):04X} {called}")
    if not _is_highly_restrictive(name):
        return NameFault("mixed-scripts", f"it mixes letters of {_alphabets(name)}, some of which look alike")
    if len({ord(c) - unicodedata.decimal(c) for c in name if c.isdecimal()}) > 1:
        return NameFault("mixed-digits", "it mixes digits of several scripts")
    runs = (list(run) for is_mark, run in groupby(name, _is_mark) if is_mark)
    if any(len(run) > MAX_MARKS or len(set(run)) < len(run) for run in runs):
        return NameFault("marks", f"a letter has the same mark twice, or more than {MAX_MARKS}")
    return None


class _Ranges:
    """A table of code points: a character's value is the set of words before `=` on its line."""

    def __init__(self, table: str) -> None:
        self.rows = sorted(
            (*_bounds(span), frozenset(key.split()))
            for key, _, spans in (line.partition("=") for line in table.replace("\n ", " ").split("\n"))
            for span in spans.split()
        )
        self._starts = [first for first, _, _ in self.rows]

    def of(self, c: str) -> frozenset[str] | None:
        """The character's value, or None if the table does not list it."""
        _, last, value = self.rows[bisect_right(self._starts, ord(c)) - 1]
        return value if self._starts[0] <= ord(c) <= last else None


def _bounds(span: str) -> tuple[int, int]:
    first, _, last = span.partition("-")
    return int(first, 16), int(last or first, 16)


# Each is built on first use: no function needs all three.
@functools.cache
def _letters() -> dict[str, int]:
    """For each character a bit set: bit i means that it looks like letter i of `private`."""
    bits: dict[str, int] = defaultdict(int)
    for first, last, letters in _Ranges(LETTERS).rows:
        for point in range(first, last + 1):
            bits[chr(point)] |= sum(1 << PRIVATE.index(letter) for letter in letters)
    return dict(bits)


@functools.cache
def _ignorable() -> _Ranges:
    return _Ranges(IGNORABLE)


@functools.cache
def _scripts() -> _Ranges:
    return _Ranges(SCRIPTS)


def _is_highly_restrictive(name: str) -> bool:
    used = [scripts for c in name if (scripts := _scripts().of(c)) and _ANY not in scripts]
    if not used or frozenset.intersection(*used):
        return True
    return bool(_JOINT.intersection(*(scripts for scripts in used if _LATIN not in scripts)))


def _is_mark(c: str) -> bool:
    return unicodedata.category(c) == "Mn"


def _alphabets(name: str) -> str:
    """The alphabets of the name's letters and non-ASCII digits: the first words of their Unicode names."""
    telling = {c for c in name if c.isalpha() or (c.isdecimal() and not c.isascii())}
    return ", ".join(sorted({unicodedata.name(c, "?").split()[0].title() for c in telling}))
