"""Builds HTML and SVG text, with all values escaped."""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING, NewType

if TYPE_CHECKING:
    from collections.abc import Iterable

# A separate type, so that the type checker finds unescaped text.
Markup = NewType("Markup", str)

# All characters that XML 1.0 (section 2.2) forbids; a lone surrogate cannot even be encoded.
_NOT_A_CHARACTER = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_VOID = frozenset({"br", "link", "meta"})


def text(value: object) -> Markup:
    """Escape a value; forbidden characters become U+FFFD."""
    return Markup(html.escape(_NOT_A_CHARACTER.sub("\ufffd", str(value))))


def tag(name: str, /, *children: Markup, **attributes: object) -> Markup:
    """Make an element. `class_` is class, `data_hover` is data-hover, and None leaves an attribute out."""
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{text(_number(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in _VOID:
        return Markup(f"<{name}{written}>")
    return Markup(f"<{name}{written}>{''.join(children)}</{name}>")


def joined(parts: Iterable[Markup]) -> Markup:
    return Markup("".join(parts))


def _number(value: object) -> object:
    # A tenth of a pixel is enough for a screen.
    return f"{value:.1f}".removesuffix(".0") if isinstance(value, float) else value
