"""What is shown of a study while this process works on it: a view, a bar, or a notebook's line."""

import logging
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from lrsearch.report.live.follow import LOOK_SECONDS, Seen, Watcher
from lrsearch.report.live.notebook_bar import in_notebook, notebook_bar
from lrsearch.storage.moments import passes
from lrsearch.storage.outages import Patience
from lrsearch.study.stored_study import StoredStudy

#: What draws a look at the study, and whether that is the last time.
Draw = Callable[[Seen, bool], None]


@contextmanager
def shown(study: StoredStudy) -> Iterator[None]:
    """Show how far the study is, for as long as it is worked on, on a terminal or in a notebook."""
    if in_notebook():
        with _drawn_meanwhile(study, notebook_bar()):
            yield
    elif sys.stderr.isatty():
        from lrsearch.report.live import terminal

        logs = logging.getLogger("lrsearch").isEnabledFor(logging.INFO)
        with terminal.drawn(view=not logs) as draw, _drawn_meanwhile(study, draw):
            yield
    else:
        yield


@contextmanager
def _drawn_meanwhile(study: StoredStudy, draw: Draw) -> Iterator[None]:
    """A thread looks at the study and draws; while the database does not answer, it leaves it."""
    ended = threading.Event()
    watcher = Watcher(study.database, study.name, patience=Patience(seconds=0))

    def draw_until_ended() -> None:
        is_last = False
        while not is_last:
            is_last = ended.wait(LOOK_SECONDS)
            seen = _look(watcher)
            if seen is not None:
                draw(seen, is_last)

    thread = threading.Thread(target=draw_until_ended, name="lrsearch-progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _look(watcher: Watcher) -> Seen | None:
    """None while the database does not answer, or when the study was deleted."""
    try:
        return watcher.look()
    except Exception as error:
        if not passes(error):
            raise
        return None
