"""The report: one self-contained HTML file, for light and dark schemes and for paper."""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path
from typing import TYPE_CHECKING

import htpy as h
from markupsafe import Markup

from loadtest.errors import LoadTestError
from loadtest.report import facts, sections, verdicts
from loadtest.report.overview import overview
from loadtest.results.result import ERROR, INTERRUPTED, NOT_MEASURED, PASS, THRESHOLD_FAILED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from loadtest.results.result import Result

_FOLDER = Path(__file__).parent
# `make setup` installs it from package-lock.json.
_UPLOT = _FOLDER.parents[1] / "node_modules" / "uplot"
# Characters, since an icon would be a request.
_SIGNS = {PASS: "✓", THRESHOLD_FAILED: "✗", NOT_MEASURED: "?", INTERRUPTED: "■", ERROR: "✗"}
# All characters that XML 1.0 (section 2.2) forbids; a lone surrogate cannot even be encoded.
_NOT_A_CHARACTER = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def write_html(result: Result, path: Path) -> None:
    """Write the report of a result. Raises LoadTestError without uPlot."""
    _write(path, page(result))


def write_overview(results: Sequence[Result], path: Path) -> None:
    """Write a page that compares results by group size and label. Raises LoadTestError without uPlot."""
    title, content = overview(results)
    _write(path, document(title, *content))


def page(result: Result) -> str:
    """The report as HTML."""
    main = h.main[
        facts.figures(result),
        sections.latency(result),
        sections.deliveries(result),
        sections.percentiles(result),
        sections.groups(result),
        sections.where(result),
        facts.health(result),
        h.div(".pair")[facts.ledger(result), facts.thresholds(result)],
        facts.scenario(result),
    ]
    return document(f"{verdicts.headline(result)} · {result.target.label}", _header(result), main)


def document(title: str, *content: h.Node) -> str:
    """Put content into a page with inline style and script; its policy forbids loading anything else.

    Raises LoadTestError without uPlot. Forbidden characters become U+FFFD.
    """
    style = f"{_uplot('dist/uPlot.min.css')}\n{_own('style.css')}"
    # Its license asks for the notice in every copy.
    script = f"/*\nuPlot\n\n{_uplot('LICENSE')}*/\n{_uplot('dist/uPlot.iife.min.js')}\n{_own('charts.js')}"
    policy = f"default-src 'none'; img-src data:; style-src {_hash(style)}; script-src {_hash(script)}"
    whole = h.html(lang="en")[
        h.head[
            h.meta(charset="utf-8"),
            h.meta(http_equiv="Content-Security-Policy", content=policy),
            h.meta(name="viewport", content="width=device-width, initial-scale=1"),
            h.meta(name="color-scheme", content="light dark"),
            h.link(rel="icon", href="data:,"),
            h.title[title],
            h.style[Markup(style)],  # noqa: S704 - files of this project and uPlot's
        ],
        h.body[
            content,
            h.p("#said.hidden", role="status"),
            h.script[Markup(script)],  # noqa: S704 - see above
        ],
    ]
    return _NOT_A_CHARACTER.sub("\ufffd", f"{whole}\n")


def _write(path: Path, written: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(written, encoding="utf-8")


def _header(result: Result) -> h.Element:
    status = result.verdict.status
    headline = verdicts.headline(result)
    began = f"{result.started_at[:16].replace('T', ' ')} UTC"
    pill = f"{_SIGNS.get(status, '?')} {verdicts.STATUS_WORDS.get(status, status)}"
    reasons = result.verdict.reasons
    return h.header[
        h.p(".over")[f"groupcast load test · {result.target.label} · {began}"],
        h.h1[headline[0].upper() + headline[1:]],
        h.p[h.span(class_=f"pill {status.replace(' ', '-')}")[pill]],
        h.noscript[h.p["Charts need scripts; each has its values in a table."]],
        h.ul(".reasons")[map(h.li.__getitem__, reasons)] if reasons else None,
    ]


def _own(name: str) -> str:
    return (_FOLDER / name).read_text(encoding="utf-8")


def _uplot(name: str) -> str:
    try:
        return (_UPLOT / name).read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise LoadTestError("the charts need uPlot from node_modules: run make setup") from error


def _hash(inline: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(inline.encode()).digest()).decode()}'"
