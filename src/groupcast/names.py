"""Which names look like others, by Unicode's own data (UTS 39). Pure."""

from __future__ import annotations

import functools
import unicodedata
from bisect import bisect_right
from collections import defaultdict
from itertools import groupby
from typing import NamedTuple

from groupcast.unicode_tables import IGNORABLE, LETTERS, SCRIPTS

PRIVATE = "private"
# More marks on one letter cover the lines above and below; no language's names need them (UTS 39, 5.4).
MAX_MARKS = 4
# Reorder what is displayed: marks of a direction, embeddings, overrides and isolates (Bidi_Control).
_BIDI_CONTROLS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_LATIN, _JOINT, _ANY = "Latn", frozenset(("Hanb", "Jpan", "Kore")), "*"


# No dataclass: making that class takes longer than all the rest of the module.
class NameFault(NamedTuple):
    """Why a user name is refused: a code for logs, a sentence for people."""

    code: str
    text: str


def looks_private(group_id: str) -> bool:
    """Whether a reader may take the beginning of a group's name for `private`.

    Compares letters and digits alone, by what they look like: blanks, marks, punctuation and symbols between
    them do not count. Text that is displayed in another order than it is stored counts as private, too.
    """
    if not _BIDI_CONTROLS.isdisjoint(group_id):
        return True
    passes_for, ignorable = _letters(), _ignorable()
    # Bit i: the first i letters of `private` can be read so far.
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


def tidied(name: str) -> str:
    """The name without invisible characters; one space for each run of blanks, none at the ends."""
    seen = (c for c in name if unicodedata.category(c)[0] != "C" and _ignorable().of(c) is None)
    return " ".join("".join(seen).split())


def name_fault(name: str) -> NameFault | None:
    """Why nobody may have this user name, or None.

    A name is in NFC and of characters that Unicode allows in identifiers (and ASCII, as in e-mail addresses),
    of one script, or of Latin beside Chinese, Japanese or Korean ("highly restrictive"), with digits of one
    kind and few marks on a letter.
    """
    if not unicodedata.is_normalized("NFC", name):
        composed = unicodedata.normalize("NFC", name)
        return NameFault("not-nfc", f"its letters are in pieces (in Unicode's form NFC it is {composed})")
    for c in name:
        if _scripts().of(c) is None:
            called = unicodedata.name(c, "(no name)")
            return NameFault("character", f"it may not hold U+{ord(c):04X} {called}")
    if not _is_highly_restrictive(name):
        return NameFault("mixed-scripts", f"it mixes letters of {_alphabets(name)}, some of which look alike")
    if len({ord(c) - unicodedata.decimal(c) for c in name if c.isdecimal()}) > 1:
        return NameFault("mixed-digits", "it mixes digits of several scripts")
    runs = (list(run) for is_mark, run in groupby(name, _is_mark) if is_mark)
    if any(len(run) > MAX_MARKS or len(set(run)) < len(run) for run in runs):
        return NameFault("marks", f"a letter has the same mark twice, or more than {MAX_MARKS}")
    return None


class _Ranges:
    """A table of code points; a character's value is the set of words that its line begins with."""

    def __init__(self, table: str) -> None:
        self.rows = sorted(
            (*_bounds(span), frozenset(key.split()))
            for key, _, spans in (line.partition("=") for line in table.replace("\n ", " ").split("\n"))
            for span in spans.split()
        )
        self._starts = [first for first, _, _ in self.rows]

    def of(self, c: str) -> frozenset[str] | None:
        """The character's value, or None where the table does not have it."""
        _, last, value = self.rows[bisect_right(self._starts, ord(c)) - 1]
        return value if self._starts[0] <= ord(c) <= last else None


def _bounds(span: str) -> tuple[int, int]:
    first, _, last = span.partition("-")
    return int(first, 16), int(last or first, 16)


# Each made at first use: no function needs all three.
@functools.cache
def _letters() -> dict[str, int]:
    """By character: bit i is set where it passes for letter i of `private`."""
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
    """The alphabets of its letters, and of digits unlike 0 to 9, as Unicode's names of those begin."""
    telling = {c for c in name if c.isalpha() or (c.isdecimal() and not c.isascii())}
    return ", ".join(sorted({unicodedata.name(c, "?").split()[0].title() for c in telling}))
