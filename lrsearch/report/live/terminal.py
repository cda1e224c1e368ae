"""What is drawn of a running study on a terminal: the view where there is room for it, or a bar."""

import logging
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager

from rich.console import Console, ConsoleOptions, RenderableType
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.segment import Segment

from lrsearch.report.live.follow import Seen
from lrsearch.report.live.progress import study_progress
from lrsearch.report.live.view import StudyView
from lrsearch.report.text.format import duration
from lrsearch.shown_text import visible

#: A terminal with fewer columns or lines gets a bar.
LEAST_COLUMNS, LEAST_LINES = 80, 16


class VisibleConsole(Console):
    """A console whose texts do not drive the terminal; what rich itself adds does."""

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterator[Segment]:
        """As rich's, through which all that is drawn goes."""
        for segment in super().render(renderable, options):
            own = segment.control is not None
            yield segment if own else Segment(visible(segment.text), segment.style)


def drawn(*, view: bool) -> AbstractContextManager[Callable[[Seen, bool], None]]:
    """What draws a study on stderr; `view` is whether the view may be drawn, else it is a bar."""
    console = VisibleConsole(stderr=True)
    wide = console.width >= LEAST_COLUMNS and console.height >= LEAST_LINES
    if view and wide and not console.is_dumb_terminal:
        return _while_working(console)
    return _bar(console)


def draw_all(looks: Iterable[Seen]) -> bool:
    """Draw each look on stdout, the last one stays; False, and nothing drawn, on a dumb terminal.

    A terminal that is too small for the view has what fits.
    """
    console = VisibleConsole()
    if console.is_dumb_terminal:
        return False
    with view_on(console, transient=False) as screen:
        for seen in looks:
            screen.draw(seen)
    return True


@contextmanager
def _while_working(console: Console) -> Iterator[Callable[[Seen, bool], None]]:
    """The view; its head alone stays, above what the command prints next."""
    with view_on(console, transient=True) as screen:

        def draw(seen: Seen, is_last: bool) -> None:
            screen.draw(seen)

        yield draw
    console.print(screen.view.head())


class Screen:
    """The view on a terminal. It is drawn anew at every look, and fits the terminal as it is then.

    A terminal that got other columns wraps what stands there: it is cleared.
    """

    def __init__(self, console: Console, *, transient: bool) -> None:
        self.console, self.transient, self.view = console, transient, StudyView()
        self._columns = console.width
        self._live = self._new()

    def _new(self) -> Live:
        return Live(self.view, console=self.console, auto_refresh=False, transient=self.transient)

    def draw(self, seen: Seen) -> None:
        """Take what was seen, and draw."""
        self.view.see(seen)
        if self.console.width != self._columns:
            self._columns = self.console.width
            self._live.stop()
            self.console.clear()
            self._live = self._new()
            self._live.start()
        self._live.refresh()

    def start(self) -> None:
        self._live.start()

    def stop(self) -> None:
        self._live.stop()


@contextmanager
def view_on(console: Console, *, transient: bool) -> Iterator[Screen]:
    """A view; `transient` leaves nothing behind. Log lines stand above it meanwhile."""
    screen = Screen(console, transient=transient)
    screen.start()
    try:
        with _logs_above():
            yield screen
    finally:
        screen.stop()


@contextmanager
def _logs_above() -> Iterator[None]:
    """Log lines go where a view lets them: through `sys.stderr`, which it has replaced."""
    handlers = [
        handler
        for handler in logging.getLogger("lrsearch").handlers
        if type(handler) is logging.StreamHandler
    ]
    before = [handler.setStream(sys.stderr) for handler in handlers]
    try:
        yield
    finally:
        for handler, stream in zip(handlers, before, strict=True):
            if stream is not None:
                handler.setStream(stream)


@contextmanager
def _bar(console: Console) -> Iterator[Callable[[Seen, bool], None]]:
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[note]}", markup=False),
    )
    with Progress(*columns, console=console, refresh_per_second=4) as bars:
        search = bars.add_task("search", total=None, note="")
        confirm = bars.add_task("confirm", total=None, note="", visible=False)

        def draw(seen: Seen, is_last: bool) -> None:
            if seen.now is None:
                return
            found = study_progress(seen.now)
            left = found.left_seconds
            note = found.note if left is None else f"{duration(left)} left, {found.note}"
            bars.update(
                search,
                description=found.title,
                completed=found.used,
                total=found.total,
                note=note.removesuffix(", "),
            )
            if (runs := found.confirmed) is not None:
                bars.update(
                    confirm, completed=runs.done, total=runs.planned, visible=True, note=runs.round
                )

        yield draw
