"""Output for people, by rich: tables, progress and the rules for terminals, pipes and files.

stdout has the result of a command, stderr its progress and errors. Colours, moving lines and wrapping are for
terminals. Pipes, files, NO_COLOR (https://no-color.org) and TERM=dumb get plain lines: no control codes,
nothing cut off, no spaces at the end. rich takes 60 ms to import, so each function imports it when called.
"""

# ruff: noqa: PLC0415 - see above
from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from itertools import zip_longest
from typing import TYPE_CHECKING, Self, TextIO

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Iterator, Sequence

    from rich.console import Console, JustifyMethod, RenderableType
    from rich.progress import Progress, TaskID
    from rich.table import Table

# The exit code of an interrupted command, as shells have it.
INTERRUPTED = 130
# A line of a pipe or file has any length.
PLAIN_WIDTH = 100_000
REFRESH_S = 0.1
BAR_WIDTH = 20


def console(stream: TextIO | None = None) -> Console:
    """The console of a stream, stdout unless given. It takes text as it is, brackets and emoji names too."""
    from rich.console import Console

    stream = stream or sys.stdout
    is_live = moves(stream)
    return Console(
        file=stream,
        force_terminal=is_live,
        force_interactive=is_live,
        color_system="auto" if is_live else None,
        width=None if is_live else PLAIN_WIDTH,
        highlight=False,
        markup=False,
        emoji=False,
    )


def moves(stream: TextIO) -> bool:
    """Whether a stream is a terminal that takes colours and moving lines."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def show(shown: RenderableType, on: Console | None = None) -> None:
    """Print a table or a text, on stdout unless given. Text stays whole, so that it can be copied."""
    from rich.text import Text

    on = on or console()
    is_text = isinstance(shown, (str, Text))
    if on.is_terminal:
        on.print(shown, soft_wrap=is_text)
        return
    with on.capture() as captured:
        on.print(shown, soft_wrap=is_text)
    on.file.write("".join(f"{line.rstrip()}\n" for line in captured.get().splitlines()))
    on.file.flush()


def table(
    *heads: str,
    right: Collection[str] = (),
    rows: Sequence[Sequence[str]] = (),
    footer: Sequence[str] = (),
) -> Table:
    """A table without frame. The columns in `right` hold numbers: aligned to the right, and not wrapped."""
    from rich.box import SIMPLE
    from rich.table import Table

    made = Table(
        box=SIMPLE,
        show_edge=False,
        pad_edge=False,
        show_footer=bool(footer),
        header_style="bold",
        footer_style="bold",
    )
    for head, foot in zip_longest(heads, footer, fillvalue=""):
        justify: JustifyMethod = "right" if head in right else "left"
        made.add_column(head, foot, justify=justify, no_wrap=head in right, overflow="fold")
    for cells in rows:
        made.add_row(*cells)
    return made


def row(cells: Sequence[str], widths: Sequence[int]) -> str:
    """A row of a table that grows. On a narrow terminal it wraps; rich would cut it."""
    return "  ".join(map(str.rjust, cells, widths))


class Steps:
    """Shows the steps of a command on a terminal, and how long they take. Elsewhere each step is a line.

    `of` is the number of steps. `bar` shows the share of a step with a count. Unless steps are `kept`, a
    terminal forgets each at its end; if `is_quiet`, only terminals learn of them. A thread redraws them if
    `is_ticking`; otherwise the caller does, where a thread would disturb measurements or forking.
    """

    def __init__(
        self,
        stream: TextIO,
        *,
        of: int = 0,
        bar: bool = False,
        kept: bool = True,
        is_quiet: bool = False,
        is_ticking: bool = True,
    ) -> None:
        self._stream = stream
        self._of = of
        self._number = 0
        self._text = ""
        self._is_kept = kept
        self._is_quiet = is_quiet
        self._task: TaskID | None = None
        self._progress = (
            _progress(stream, bar=bar, kept=kept, is_ticking=is_ticking) if moves(stream) else None
        )

    def __enter__(self) -> Self:
        if self._progress:
            self._progress.start()
        return self

    def __exit__(self, failure: type[BaseException] | None, *_: object) -> None:
        if self._progress:
            if failure is None:
                self._finish()
            self._progress.stop()

    @property
    def is_live(self) -> bool:
        return self._progress is not None

    def step(self, text: str, count: float | None = None) -> None:
        """Begin a step, which ends the one before. With a `count`, `advance` moves its bar."""
        self._finish()
        self._number += 1
        self._text = f"{self._number} of {self._of}: {text}" if self._of else text
        if self._progress:
            self._task = self._progress.add_task(self._text, total=count)
        elif not self._is_quiet:
            print(f"{self._text} …", file=self._stream, flush=True)

    def advance(self, done: float, text: str | None = None, *, of: float | None = None) -> None:
        """Set how much of the step is done, of which count, and its text. Only terminals show it."""
        if self._progress and self._task is not None:
            self._progress.update(self._task, completed=done, total=of, description=text)

    def refresh(self) -> None:
        if self._progress:
            self._progress.refresh()

    def say(self, shown: RenderableType) -> None:
        """Print a lasting line on stdout. If that is a terminal, too, the line stands above the steps."""
        # Then both are the same terminal.
        show(shown, self._progress.console if self._progress and moves(sys.stdout) else console())

    def note(self, shown: RenderableType) -> None:
        """Print a lasting line on the stream of the steps, above them."""
        show(shown, self._progress.console if self._progress else console(self._stream))

    def _finish(self) -> None:
        if self._progress and self._task is not None:
            self._progress.update(
                self._task, total=1, completed=1, description=self._text, visible=self._is_kept
            )


@contextlib.contextmanager
def waiting(text: str, count: float | None = None) -> Iterator[Steps]:
    """Show a terminal on stderr that the command waits, until it ends; print nothing elsewhere."""
    with Steps(sys.stderr, bar=count is not None, kept=False, is_quiet=True) as steps:
        steps.step(text, count)
        yield steps


@contextlib.asynccontextmanager
async def refreshed(steps: Steps) -> AsyncIterator[None]:
    """Keep steps moving from the event loop instead of a thread."""

    async def tick() -> None:
        while True:
            steps.refresh()
            await asyncio.sleep(REFRESH_S)

    ticking = asyncio.create_task(tick())
    try:
        yield
    finally:
        ticking.cancel()


def _progress(stream: TextIO, *, bar: bool, kept: bool, is_ticking: bool) -> Progress:
    from rich.progress import (
        BarColumn,
        Progress,
        SpinnerColumn,
        TaskProgressColumn,
        TextColumn,
        TimeElapsedColumn,
    )
    from rich.table import Column

    share = (BarColumn(BAR_WIDTH), TaskProgressColumn(text_format_no_percentage="")) if bar else ()
    return Progress(
        SpinnerColumn(finished_text="✓"),
        TextColumn("{task.description}", markup=False, table_column=Column(overflow="fold")),
        *share,
        TimeElapsedColumn(),
        console=console(stream),
        transient=not kept,
        auto_refresh=is_ticking,
        # rich would send it to `stream`, which stdout need not be.
        redirect_stdout=False,
    )
