"""How far a study is, in the output of a notebook's cell: one line that changes.

rich draws in notebooks by ipywidgets, which not every front end has. A display that is updated by
its id is in all of them, and stays in the saved notebook as it was last.
"""

import sys
import time
from collections.abc import Callable
from datetime import timedelta
from html import escape

from lrsearch.worker.study_progress import StudyProgress

#: Of the whole time, before which nothing is said of what is left.
LEAST_SECONDS = 2.0


def in_notebook() -> bool:
    """Whether this process is the kernel of a notebook; IPython on a terminal is none."""
    ipython = sys.modules.get("IPython")  # a kernel has loaded it
    shell = None if ipython is None else ipython.get_ipython()
    return getattr(shell, "kernel", None) is not None


def notebook_bar() -> Callable[[StudyProgress, bool], None]:
    """What draws in the cell that runs now, from any thread; with True the last time."""
    from IPython.display import display

    line = _Line()
    handle = display(line.bundle("search", 0.0), raw=True, display_id=True)

    def draw(found: StudyProgress, is_last: bool) -> None:
        text, share = line.text(found, is_last=is_last), found.used / found.total
        handle.update(line.bundle(text, share), raw=True)

    return draw


class _Line:
    """How a study is told in one line, since the line was begun."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        #: What an earlier call had used of the budget; None until the first look.
        self._used_before: float | None = None

    def text(self, found: StudyProgress, *, is_last: bool) -> str:
        """`search 12/60 · 3 pruned, best val_loss 0.07 · 0:00:31, about 0:02:04 left`"""
        if self._used_before is None:
            self._used_before = found.used
        parts = [f"{found.title} {found.used:.4g}/{found.total:.4g}"]
        if (runs := found.confirmed) is not None:
            parts.append(f"confirmation {runs.done}/{runs.planned} runs ({runs.round})")
        parts += [found.note] if found.note else []
        seconds = time.monotonic() - self._started
        done, left = found.used - self._used_before, found.total - found.used
        clock = f"{timedelta(seconds=round(seconds))}"
        if not is_last and seconds > LEAST_SECONDS and done > 0 and left > 0:
            clock += f", about {timedelta(seconds=round(seconds * left / done))} left"
        return " \u00b7 ".join([*parts, clock])

    def bundle(self, text: str, share: float) -> dict[str, str]:
        """The line for front ends that draw HTML, and for those that do not."""
        bar = f'<progress value="{share:.4f}" max="1" style="vertical-align: middle"></progress>'
        return {"text/plain": text, "text/html": f"<div>{bar} {escape(text)}</div>"}
