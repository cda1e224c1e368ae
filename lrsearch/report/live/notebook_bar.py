"""How far a study is, in the output of a notebook's cell: one line that changes.

rich draws in notebooks by ipywidgets, which not every front end has. A display that is updated by
its id is in all of them, and stays in the saved notebook as it was last.
"""

import sys
import time
from collections.abc import Callable
from datetime import timedelta
from html import escape

from lrsearch.report.live.follow import Seen
from lrsearch.report.live.progress import StudyProgress, study_progress
from lrsearch.report.text.format import duration


def in_notebook() -> bool:
    """Whether this process is the kernel of a notebook; IPython on a terminal is none."""
    ipython = sys.modules.get("IPython")  # a kernel has loaded it
    shell = None if ipython is None else ipython.get_ipython()
    return getattr(shell, "kernel", None) is not None


def notebook_bar() -> Callable[[Seen, bool], None]:
    """What draws in the cell that runs now, from any thread; with True the last time."""
    from IPython.display import display

    line = _Line()
    handle = display(line.bundle("search", 0.0), raw=True, display_id=True)

    def draw(seen: Seen, is_last: bool) -> None:
        if seen.now is None:
            return
        found = study_progress(seen.now)
        text, share = line.text(found, is_last=is_last), found.used / found.total
        handle.update(line.bundle(text, share), raw=True)

    return draw


class _Line:
    """How a study is told in one line, since the line was begun."""

    def __init__(self) -> None:
        self._started = time.monotonic()

    def text(self, found: StudyProgress, *, is_last: bool) -> str:
        """`search 12/60 · 3 pruned, best val_loss 0.07 · 0:00:31, about 2 min left`"""
        parts = [f"{found.title} {found.used:.4g}/{found.total:.4g}"]
        if (runs := found.confirmed) is not None:
            parts.append(f"confirmation {runs.done}/{runs.planned} runs ({runs.round})")
        parts += [found.note] if found.note else []
        clock = f"{timedelta(seconds=round(time.monotonic() - self._started))}"
        if not is_last and found.left_seconds is not None:
            clock += f", about {duration(found.left_seconds)} left"
        return " \u00b7 ".join([*parts, clock])

    def bundle(self, text: str, share: float) -> dict[str, str]:
        """The line for front ends that draw HTML, and for those that do not."""
        bar = f'<progress value="{share:.4f}" max="1" style="vertical-align: middle"></progress>'
        return {"text/plain": text, "text/html": f"<div>{bar} {escape(text)}</div>"}
