"""A live progress bar of a study, on a terminal or in a notebook; else nothing."""

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from lrsearch.storage.outages import passes
from lrsearch.study.open_study import OpenStudy
from lrsearch.worker.notebook_bar import in_notebook, notebook_bar
from lrsearch.worker.study_progress import StudyProgress, study_progress

#: How often the database is asked.
LOOK_SECONDS = 0.5

#: What draws how far a study is, and whether that is the last time.
Draw = Callable[[StudyProgress, bool], None]


@contextmanager
def progress_bar(study: OpenStudy) -> Iterator[None]:
    """Show how far the study is, for as long as it is worked on."""
    if in_notebook():
        with _drawn_meanwhile(study, notebook_bar()):
            yield
    elif sys.stderr.isatty():
        with _terminal_bar() as draw, _drawn_meanwhile(study, draw):
            yield
    else:
        yield


@contextmanager
def _drawn_meanwhile(study: OpenStudy, draw: Draw) -> Iterator[None]:
    """A thread looks at the study and draws; while the database does not answer, it leaves it."""
    ended = threading.Event()

    def draw_until_ended() -> None:
        is_last = False
        while not is_last:
            is_last = ended.wait(LOOK_SECONDS)
            found = _look(study)
            if found is not None:
                draw(found, is_last)

    thread = threading.Thread(target=draw_until_ended, name="lrsearch-progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@contextmanager
def _terminal_bar() -> Iterator[Draw]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=Console(stderr=True), refresh_per_second=4) as bars:
        search = bars.add_task("search", total=None, note="")
        confirm = bars.add_task("confirm", total=None, note="", visible=False)

        def draw(found: StudyProgress, is_last: bool) -> None:
            bars.update(
                search,
                description=found.title,
                completed=found.used,
                total=found.total,
                note=found.note,
            )
            if (runs := found.confirmed) is not None:
                bars.update(
                    confirm, completed=runs.done, total=runs.planned, visible=True, note=runs.round
                )

        yield draw


def _look(study: OpenStudy) -> StudyProgress | None:
    """None while the database does not answer, or when the study was deleted."""
    try:
        with study.database.read() as connection:
            return study_progress(connection, study)
    except Exception as error:
        if not passes(error):
            raise
        return None
