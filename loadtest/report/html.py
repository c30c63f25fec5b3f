"""The report: one self-contained HTML file, for light and dark schemes and for paper."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from loadtest.report import facts, sections, verdicts
from loadtest.report.markup import Markup, joined, tag, text
from loadtest.report.overview import overview
from loadtest.results.result import ERROR, INTERRUPTED, NOT_MEASURED, PASS, THRESHOLD_FAILED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from loadtest.results.result import Result

_FOLDER = Path(__file__).parent
# Characters, since an icon would be a request.
_SIGNS = {PASS: "✓", THRESHOLD_FAILED: "✗", NOT_MEASURED: "?", INTERRUPTED: "■", ERROR: "✗"}


def write_html(result: Result, path: Path) -> None:
    """Write the report of a result."""
    _write(path, page(result))


def write_overview(results: Sequence[Result], path: Path) -> None:
    """Write one page that compares several results by group size and label."""
    title, content = overview(results)
    _write(path, document(title, *content))


def page(result: Result) -> str:
    """The report as HTML."""
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
    return document(f"{verdicts.headline(result)} · {result.target.label}", _header(result), main)


def document(title: str, *content: Markup) -> str:
    """Put content into a page with inline style and script; its policy forbids loading anything else."""
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


def _header(result: Result) -> Markup:
    status = result.verdict.status
    headline = verdicts.headline(result)
    began = f"{result.started_at[:16].replace('T', ' ')} UTC"
    pill = f"{_SIGNS.get(status, '?')} {verdicts.STATUS_WORDS.get(status, status)}"
    reasons = [tag("li", text(reason)) for reason in result.verdict.reasons]
    return tag(
        "header",
        tag("p", text(f"groupcast load test · {result.target.label} · {began}"), class_="over"),
        tag("h1", text(headline[0].upper() + headline[1:])),
        tag("p", tag("span", text(pill), class_=f"pill {status.replace(' ', '-')}")),
        tag("ul", *reasons, class_="reasons") if reasons else Markup(""),
    )


def _side_by_side(*cards: Markup) -> Markup:
    return tag("div", joined(cards), class_="pair")


def _hash(inline: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(inline.encode()).digest()).decode()}'"
