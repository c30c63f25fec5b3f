"""Look-alikes of private groups and of users, compared with ICU."""

from __future__ import annotations

import unicodedata
from collections import defaultdict

import icu
import pytest
from hypothesis import given
from hypothesis import strategies as st

from groupcast.names import PRIVATE, looks_private, name_fault
from tests import unicode_tables

SPOOF = icu.SpoofChecker()
# Invisible characters that once opened private groups.
UNSEEN = "034F FE00 FE0F E0100 180B 17B4 115F 1160 3164 FFA0 16FE4 2800 FFFC".split()
OPENED = [
    *(f"private{chr(int(dash, 16))}team" for dash in ("2212", "02D7", "2043")),
    "\u0440r\u0456vat\u0435-team",
    "pr\u0131vate-team",
]
BY_SKELETON: dict[str, list[str]] = defaultdict(list)
for character in icu.UnicodeSet(r"[^[:Cn:][:Cs:][:Co:]]"):
    BY_SKELETON[SPOOF.getSkeleton(0, character)].append(character)
ALIKE = {
    letter: [c for x in (letter, letter.upper()) for c in BY_SKELETON[SPOOF.getSkeleton(0, x)]]
    for letter in PRIVATE
}
NOT_READ = [*icu.UnicodeSet(r"[[:DI:][:Z:][:Cc:][:Cf:][:M:][:Pd:]-[:Bidi_C:]]"), *map(chr, (0x2800, 0xFFFC))]
LETTERS = sorted({c for same in ALIKE.values() for c in same})


def test_the_tables_are_icus() -> None:
    """`python -m tests.unicode_tables` regenerates them."""
    assert unicode_tables.PATH.read_text(encoding="utf-8") == unicode_tables.module()


@pytest.mark.parametrize("point", UNSEEN)
def test_no_invisible_character_opens_a_private_group(point: str) -> None:
    """Before, between and after the letters."""
    for at in range(len("private-team") + 1):
        assert looks_private("private-team"[:at] + chr(int(point, 16)) + "private-team"[at:])


@pytest.mark.parametrize(
    "group_id",
    [
        *OPENED,
        "PRIVATE",
        "PrIvate",
        "prlvate",
        "pr1vate",
        "p\u0155i\u0303v\u00e2t\u00e9",
        "\U0001d429\U0001d42b\U0001d422\U0001d42f\U0001d41a\U0001d42d\U0001d41e",
        "\uff50\uff52\uff49\uff56\uff41\uff54\uff45",
        "\u24df\u24e1\u24d8\u24e5\u24d0\u24e3\u24d4",
        "\u1d18\u0280\u026a\u1d20\u1d00\u1d1b\u1d07",
        "\U0001f17f\U0001f181\U0001f178\U0001f185\U0001f170\U0001f183\U0001f174",
        "\U0001f1f5\U0001f1f7\U0001f1ee\U0001f1fb\U0001f1e6\U0001f1f9\U0001f1ea",
        "pr\u2173ate",
        "\u33daivate",
        "p.r.i.v.a.t.e",
        "\U0001f512 private",
        "\u202emaet-etavirp",
        "\u200fteam\u200fprivate",
    ],
)
def test_names_that_read_as_private_are_private(group_id: str) -> None:
    """In any case, alphabet, style, order and spacing."""
    assert looks_private(group_id)


@pytest.mark.parametrize(
    "group_id",
    """group1 my-private-x privat privata privado primate 비공개-팀 개인 ส่วนตัว приват частный
    私的 プライベート     ιδιωτικό خاص פרטי निजी 🔒 | team–private é""".split(),
)
def test_other_groups_stay_open(group_id: str) -> None:
    """In any script."""
    assert not looks_private(group_id)


@pytest.mark.parametrize("control", list(icu.UnicodeSet("[:Bidi_C:]")), ids=ascii)
def test_names_with_direction_controls_are_private(control: str) -> None:
    """No such name is innocent."""
    assert looks_private(f"team{control}")


def test_every_confusable_letter_counts() -> None:
    """In place of each letter."""
    alike = [PRIVATE.replace(letter, c) for letter, same in ALIKE.items() for c in same]
    assert len(alike) > 400
    assert [ascii(group_id) for group_id in alike if not looks_private(group_id)] == []


def test_every_invisible_character_is_skipped() -> None:
    """Before the first letter, between letters, and in several places."""
    placed = [text.format(c) for c in NOT_READ for text in ("{0}private", "pri{0}vate", "{0}p{0}r{0}ivate")]
    assert [ascii(group_id) for group_id in placed if not looks_private(group_id)] == []


@given(st.data())
def test_private_stays_private(data: st.DataObject) -> None:
    """With confusable letters and invisible characters between them."""
    gap = st.text(NOT_READ, max_size=3)
    group_id = "".join(data.draw(gap) + data.draw(st.sampled_from(ALIKE[letter])) for letter in PRIVATE)
    assert looks_private(group_id + data.draw(st.text(max_size=5)))


@given(st.text(st.sampled_from(LETTERS), min_size=7, max_size=9))
def test_a_skeleton_of_private_is_private(text: str) -> None:
    """As ICU computes it, with case folded before or after."""
    private = SPOOF.getSkeleton(0, PRIVATE)
    skeletons = {
        SPOOF.getSkeleton(0, text).lower(),
        SPOOF.getSkeleton(0, text.lower()),
        SPOOF.getSkeleton(0, text),
    }
    if any(skeleton.startswith(private) for skeleton in skeletons):
        assert looks_private(text)


@pytest.mark.parametrize(
    "name",
    """ann Ann-2 ann@example.com o'hara$HOME 김민수 kim민수 田中たろう Tanaka田中 佐々木ケン 山﨑 髙橋
    王小明 ㄅㄆ王 Ольга Иван-1 Вера Γιώργος محمد علی שרה สมชาย ศักดิ์สิทธิ์ प्रिया श्रीनिवास কৃষ্ণ தமிழ் ಕನ್ನಡ မောင် གྲོལ་མ
    ქეთი Հայկ ኣበበ O’Brien José Łukasz Đặng Nguyễn Işık Yıldız 2b39dbf4-6a3c-4b5e-8f7a-1c2d3e4f5a6b""".split(),
)
def test_names_of_people_are_accepted(name: str) -> None:
    """In many scripts."""
    assert name_fault(unicodedata.normalize("NFC", name)) is None


@pytest.mark.parametrize(
    ("name", "code", "text"),
    [
        ("\u0430nn", "mixed-scripts", "Cyrillic, Latin"),
        ("\u0391nn", "mixed-scripts", "Greek, Latin"),
        ("ann\u0967", "mixed-scripts", "Devanagari, Latin"),
        ("\u0251nn", "character", "U+0251 LATIN SMALL LETTER ALPHA"),
        ("\uff41nn", "character", "U+FF41"),
        ("\U0001d41ann", "character", "U+1D41A"),
        ("a\u034fnn", "character", "U+034F COMBINING GRAPHEME JOINER"),
        ("ann\u200b", "character", "U+200B"),
        ("\u3164", "character", "U+3164 HANGUL FILLER"),
        ("\u202eann", "character", "U+202E"),
        ("i\u0307nn", "character", "U+0307"),
        ("ann ", "character", "U+0020"),
        ("ann\n", "character", "U+000A"),
        ("ann\u2010lee", "character", "U+2010"),
        ("e\u0301", "not-nfc", "\u00e9"),
        ("\u0661\u06f2", "mixed-digits", "digits"),
        ("q\u0301\u0301", "marks", "twice"),
        ("q\u0301\u0302\u0303\u0304\u0306", "marks", "more than 4"),
    ],
)
def test_look_alikes_are_refused(name: str, code: str, text: str) -> None:
    """The reason names the character or the scripts."""
    fault = name_fault(name)
    assert fault is not None
    assert fault.code == code
    assert text in fault.text


# An ICU check that PyICU does not name: a dot above a letter that has one.
HIDDEN_OVERLAY = 1 << 8


def highly_restrictive() -> icu.SpoofChecker:
    checker = icu.SpoofChecker()
    checker.setAllowedUnicodeSet(icu.UnicodeSet(r"[[:Identifier_Status=Allowed:][!-~]]"))
    checks = icu.USpoofChecks
    checker.setChecks(checks.RESTRICTION_LEVEL | checks.INVISIBLE | checks.MIXED_NUMBERS | HIDDEN_OVERLAY)
    checker.setRestrictionLevel(icu.URestrictionLevel.HIGHLY_RESTRICTIVE)
    return checker


ICU = highly_restrictive()
# A few of each script, so that most texts mix scripts.
SAMPLES = [
    c
    for script in "Latn Cyrl Grek Hang Hani Hira Kana Bopo Arab Deva Thai Zyyy Zinh".split()
    for c in list(icu.UnicodeSet(rf"[[:sc={script}:]&[:Identifier_Status=Allowed:]]"))[::7][:20]
]


@given(st.text(st.one_of(st.sampled_from(SAMPLES), st.characters()), min_size=1, max_size=6))
def test_icu_refuses_the_same_names(name: str) -> None:
    """We refuse all that ICU refuses, and otherwise only what its checks omit."""
    fault = name_fault(name)
    if ICU.check(name):
        assert fault is not None
    elif fault is not None:
        assert fault.code in {"not-nfc", "marks"} or "\u0307" in name or "\u2010" in name
