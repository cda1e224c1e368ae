"""A live progress bar of a study on a terminal; nothing where stderr is none."""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from lrsearch.storage import confirmations, range_tests, studies, trials
from lrsearch.storage.outages import passes
from lrsearch.study.open_study import OpenStudy
from lrsearch.trial import states
from lrsearch.trial.states import TrialState

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress

#: How often the database is asked.
LOOK_SECONDS = 0.5


class Progress:
    """Trials done, pruned, diverged, best so far, time left; then confirmation runs."""

    def __init__(self, search: OpenStudy) -> None:
        self.search = search
        self._bars: RichProgress | None = None
        if not sys.stderr.isatty():
            return
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )
        from rich.progress import Progress as Bars

        self._bars = Bars(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
            console=Console(stderr=True),
            refresh_per_second=4,
        )
        self._search_bar = self._bars.add_task("search", total=None, note="")
        self._confirm_bar = self._bars.add_task("confirm", total=None, note="", visible=False)

    def __enter__(self) -> "Progress":
        if self._bars is not None:
            self._bars.start()
        return self

    def __exit__(self, *rest: object) -> None:
        if self._bars is not None:
            self._bars.stop()

    def update(self) -> None:
        """Look at the study and draw; while the database does not answer, what it last said."""
        if self._bars is None:
            return
        try:
            self._draw(self._bars)
        except Exception as error:
            if not passes(error):
                raise

    def _draw(self, bars: "RichProgress") -> None:
        minimize = self.search.spec.objective.direction == "minimize"
        with self.search.database.read() as connection:
            study = studies.by_id(connection, self.search.study_id)
            counts = studies.counts(connection, self.search.study_id)
            best = trials.ranked(connection, self.search.study_id, minimize=minimize, limit=1)
            runs = confirmations.everything(connection, self.search.study_id)
            tests = range_tests.everything(connection, self.search.study_id)
        if study is None:
            return
        ended = sum(counts.values()) - counts[TrialState.RUNNING]
        notes = [
            f"range test of {test.optimizer}" for test in tests if test.state == TrialState.RUNNING
        ]
        notes += [
            f"{counts[state]} {state}"
            for state in (TrialState.PRUNED, TrialState.DIVERGED, TrialState.FAILED)
            if counts[state]
        ]
        if best:
            notes.append(f"best {self.search.spec.objective.metric} {best[0].value:.4g}")
        bars.update(
            self._search_bar, completed=ended, total=study.trials_total, note=", ".join(notes)
        )
        if runs:
            done = sum(run.state not in states.OPEN for run in runs)
            bars.update(
                self._confirm_bar,
                completed=done,
                total=len(runs),
                visible=True,
                note=runs[-1].round,
            )


@contextmanager
def shown(search: OpenStudy) -> Iterator[None]:
    """Show the progress of a study while this process works on it."""
    ended = threading.Event()

    def draw() -> None:
        with Progress(search) as progress:
            while not ended.wait(LOOK_SECONDS):
                progress.update()
            progress.update()

    thread = threading.Thread(target=draw, name="lrsearch-progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
