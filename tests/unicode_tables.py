"""Generates src/groupcast/unicode_tables.py from ICU's data: `python -m tests.unicode_tables`.

ICU's libraries have 40 MB, too much for a cold start in Lambda, and no small Python package has both the
confusables and Identifier_Status of a recent Unicode. So the relevant 6 KB are copied.
"""

from __future__ import annotations

import re
import textwrap
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

import icu

PATH = Path(__file__).parents[1] / "src/groupcast/unicode_tables.py"
# Python 3.11, the oldest supported one, has Unicode 14; its NFKD knows nothing newer.
_OLD = icu.UnicodeSet("[:Age=14.0:]")
BASE = "private"
# One stroke each, which many fonts draw alike.
STROKES = str.maketrans("l1|", "iii")
NAMED = re.compile(r"(?:.*\bLATIN .*|REGIONAL INDICATOR SYMBOL )LETTER (?:[A-Z]+ )*([A-Z])(?: WITH .*)?")
# Displayed as blanks, although Unicode calls them letters or symbols: Braille, an object, two hieroglyphs.
BLANKS = "\u2800\ufffc\U00013441\U00013442"
# UTS 39, 5.1: scripts that are written together.
TOGETHER = {
    "Hani": ("Hanb", "Jpan", "Kore"),
    "Bopo": ("Hanb",),
    "Hang": ("Kore",),
    "Hira": ("Jpan",),
    "Kana": ("Jpan",),
}
EVERY = {"Zyyy", "Zinh"}

_SPOOF = icu.SpoofChecker()
_NFKD = icu.Normalizer2.getInstance(None, "nfkc", icu.UNormalizationMode2.DECOMPOSE)
_UNSEEN = icu.UnicodeSet(r"[[:C:][:M:][:P:][:S:][:Z:][:DI:]]")
# ASCII for e-mail addresses, but no second hyphen. In NFC a dot above stays separate only after `i`, which
# hides it.
_NAMES = icu.UnicodeSet(r"[[:Identifier_Status=Allowed:][!-~]-[\u0307\u2010]]")


def main() -> None:
    PATH.write_text(module(), encoding="utf-8")
    print(f"{PATH}: {PATH.stat().st_size} bytes, Unicode {icu.UNICODE_VERSION}")  # noqa: T201


def module() -> str:
    """The source of the module."""
    tables = {
        "LETTERS": (
            "Code points that pass for a letter of `private`, beyond those that NFKD makes one.",
            letters(),
        ),
        "IGNORABLE": ("Default_Ignorable_Code_Point, and blanks.", {"": _points(rf"[[:DI:]{BLANKS}]")}),
        "SCRIPTS": (
            "What a name may hold, by the scripts that use it (UTS 39: Identifier_Status, 5.1).",
            scripts(),
        ),
    }
    head = f'''"""Unicode {icu.UNICODE_VERSION} for names, written by `python -m tests.unicode_tables`.

From ICU's data: (c) Unicode, Inc., under the Unicode License v3, https://www.unicode.org/license.txt
Each line of a table is a key, `=` and ranges of code points in hex.
"""
'''
    return head + "".join(
        f'\n# {about}\n{name} = """\n{_lines(table)}"""\n' for name, (about, table) in tables.items()
    )


def letters() -> dict[str, list[int]]:
    """By each letter of `private`: the code points that a reader may take for it."""
    passing = {c: _passes_for(c) for c in icu.UnicodeSet(r"[^[:Cn:][:Co:][:Cs:]]")}
    made: dict[str, list[int]] = defaultdict(list)
    for c, taken_for in passing.items():
        for letter in taken_for - _by_nfkd(c, passing):
            made[letter].append(ord(c))
    return {letter: made[letter] for letter in BASE}


def scripts() -> dict[str, list[int]]:
    """By the scripts, and joint scripts, of a name that may hold them; `*` is any."""
    recommended = {next(iter(used)) for used in map(_scripts, _NAMES) if len(used) == 1} - EVERY
    made: dict[str, list[int]] = defaultdict(list)
    for c in _NAMES:
        used = _scripts(c)
        joint = {joined for script in used for joined in TOGETHER.get(script, ())}
        made["*" if used & EVERY else " ".join(sorted(used & recommended | joint))].append(ord(c))
    return made


def _passes_for(c: str) -> set[str]:
    """The letters of `private` among all that case, NFKD, confusables and its name make of a character."""
    seen: set[str] = set()
    new = {c}
    named = NAMED.fullmatch(icu.Char.charName(c))
    if named:
        new.add(named[1])
    while new:
        seen |= new
        new = {other for text in new for other in _alike(text)} - seen
    return {text.lower().translate(STROKES) for text in seen} & set(BASE)


def _alike(text: str) -> Iterable[str]:
    yield _SPOOF.getSkeleton(0, text)
    yield _NFKD.normalize(text)
    yield str(icu.UnicodeString(text).toLower())
    yield str(icu.UnicodeString(text).toUpper())
    yield "".join(c for c in text if c not in _UNSEEN)


def _by_nfkd(c: str, passing: Mapping[str, set[str]]) -> set[str]:
    decomposed = [part for part in _NFKD.normalize(c) if part not in _UNSEEN]
    if decomposed == [c] or not decomposed or c not in _OLD:
        return set()
    return passing[decomposed[0]]


def _scripts(c: str) -> set[str]:
    return {icu.Script(code).getShortName() for code in icu.Script.getScriptExtensions(c)}


def _points(pattern: str) -> list[int]:
    return [ord(c) for c in icu.UnicodeSet(pattern)]


def _lines(table: Mapping[str, list[int]]) -> str:
    return "".join(
        textwrap.fill(f"{key}={' '.join(_ranges(points))}", 108, subsequent_indent=" ") + "\n"
        for key, points in table.items()
    )


def _ranges(points: Iterable[int]) -> Iterable[str]:
    first = last = None
    for point in [*sorted(points), None]:
        if last is not None and point != last + 1:
            yield f"{first:X}" if first == last else f"{first:X}-{last:X}"
            first = None
        first = point if first is None else first
        last = point


if __name__ == "__main__":
    main()
