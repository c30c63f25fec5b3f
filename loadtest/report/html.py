"""The report: one HTML file that needs nothing else, from any address, in light, dark and on paper."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loadtest.report import facts, sections, verdicts
from loadtest.report.markup import Markup, joined, tag, text
from loadtest.report.overview import overview

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_FOLDER = Path(__file__).parent
# A glyph, since an icon's address would be a request.
_SIGNS = {"pass": "✓", "threshold failed": "✗", "not measured": "?", "interrupted": "■", "error": "✗"}


def write_html(result: Mapping[str, Any], path: Path) -> None:
    """Write the report of a result (JSON values, schema 2)."""
    _write(path, page(result))


def write_overview(results: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Write one page that compares several results by group size and label."""
    title, content = overview(results)
    _write(path, document(title, *content))


def page(result: Mapping[str, Any]) -> str:
    """The report's text."""
    main = tag(
        "main",
        facts.figures(result),
        sections.latency(result),
        sections.percentiles(result),
        _side_by_side(sections.deliveries(result), sections.groups(result)),
        sections.where(result),
        facts.health(result),
        _side_by_side(facts.ledger(result), facts.thresholds(result)),
        facts.scenario(result),
    )
    return document(f"{verdicts.headline(result)} · {result['target']['label']}", _header(result), main)


def document(title: str, *content: Markup) -> str:
    """A page around its content: styles and script inline, and nothing else allowed to load."""
    style = Markup((_FOLDER / "style.css").read_text(encoding="utf-8"))
    script = Markup((_FOLDER / "script.js").read_text(encoding="utf-8"))
    policy = f"default-src 'none'; img-src data:; style-src {_hash(style)}; script-src {_hash(script)}"
    head = (
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("link", rel="icon", href="data:,"),
        tag("title", text(title)),
        tag("style", style),
    )
    tip = tag("div", id="tip", class_="tip", aria_hidden="true")
    body = tag("body", *content, tip, tag("script", script))
    return f"<!doctype html>\n{tag('html', tag('head', *head), body, lang='en')}\n"


def _write(path: Path, written: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(written, encoding="utf-8")


def _header(result: Mapping[str, Any]) -> Markup:
    verdict = result["verdict"]
    status = verdict["status"]
    said = verdicts.headline(result)
    began = f"{result['started_at'][:16].replace('T', ' ')} UTC"
    pill = f"{_SIGNS.get(status, '?')} {verdicts.STATUS_WORDS.get(status, status)}"
    reasons = [tag("li", text(reason)) for reason in verdict["reasons"]]
    return tag(
        "header",
        tag(
            "p",
            text(f"groupcast load test · {result['target']['label']} · {began}"),
            class_="over",
        ),
        tag("h1", text(said[0].upper() + said[1:])),
        tag("p", tag("span", text(pill), class_=f"pill {status.replace(' ', '-')}")),
        tag("ul", *reasons, class_="reasons") if reasons else Markup(""),
    )


def _side_by_side(*cards: Markup) -> Markup:
    return tag("div", joined(cards), class_="pair")


def _hash(inline: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(inline.encode()).digest()).decode()}'"
