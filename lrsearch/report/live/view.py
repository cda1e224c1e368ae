"""The view of a running study, as rich draws it: it fits any width and height."""

from collections import deque
from collections.abc import Iterable, Sequence
from datetime import timedelta
from statistics import fmean

from rich.console import Console, ConsoleOptions, RenderResult
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from lrsearch.recipe.recipe import Recipe
from lrsearch.recipe.title import short_title
from lrsearch.report.cost import budget_of
from lrsearch.report.live import events
from lrsearch.report.live.event import Event, Kind, worker_words
from lrsearch.report.live.follow import Seen
from lrsearch.report.live.progress import share_of, study_progress
from lrsearch.report.live.snapshot import Snapshot
from lrsearch.report.live.sparkline import sparkline
from lrsearch.report.live.trial_events import recipe_words
from lrsearch.report.text.format import EMPTY, duration, number
from lrsearch.report.text.origin import budget_text
from lrsearch.spec.trial_value import objective_value
from lrsearch.storage.column_types import one_line
from lrsearch.storage.records import ConfirmationRecord, TrialRecord, WorkerRecord
from lrsearch.trial import states

#: Events that are remembered; so many at most are shown, and so many at least.
REMEMBERED, MOST_EVENTS, LEAST_EVENTS = 50, 8, 3
#: Characters of a running trial's curve.
CURVE_CELLS = 14
#: Rows of workers at most; the rest is for trials.
MOST_WORKERS = 6
#: Characters of a worker's name and of its device.
MOST_NAME = 27
#: Styles of an event's words; without colours nothing is lost, the words say it.
STYLES = {
    Kind.TRIAL_DIVERGED: "yellow",
    Kind.TRIAL_FAILED: "red",
    Kind.WORKER_LOST: "red",
    Kind.FAULT: "red",
    Kind.STUDY_FINISHED: "bold",
}


class StudyView:
    """What was seen of a study last. rich draws it; no line is longer than the terminal."""

    def __init__(self) -> None:
        self.now: Snapshot | None = None
        self._events: deque[Event] = deque(maxlen=REMEMBERED)

    def see(self, seen: Seen) -> None:
        """Take a look; at the first, what ended before it is remembered too."""
        if seen.now is not None and self.now is None:
            self._events.extend(events.ends(seen.now))
        self.now = seen.now or self.now
        # Rungs are seen at the trials, which go on.
        self._events.extend(event for event in seen.events if event.kind != Kind.RUNG_REACHED)

    def head(self) -> "Text | Head":
        """How far the study is, in three lines."""
        return Text("waiting for the database") if self.now is None else Head(self.now)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield self.head()
        if self.now is None:
            return
        ascii_only = options.ascii_only
        room = max(0, console.height - HEAD_LINES - 1)
        yield from _parts(self.now, list(self._events), room, ascii_only=ascii_only)


#: Of the head.
HEAD_LINES = 4


class Head:
    """Name and phase, a bar, the budget and the best recipe so far."""

    def __init__(self, now: Snapshot) -> None:
        self.now = now

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        now, found = self.now, study_progress(self.now)
        yield _line(Text.assemble((one_line(now.name), "bold"), f"  {_status(now)}"))
        grid = Table.grid(padding=(0, 1))
        grid.add_column(no_wrap=True)
        grid.add_column(no_wrap=True)
        share = f"{100 * found.used / found.total:3.0f} %"
        width = max(1, options.max_width - len(share) - 1)
        grid.add_row(share, ProgressBar(total=found.total, completed=found.used, width=width))
        yield grid
        parts = [budget_text(budget_of(now.study, now.spec, now.elapsed))]
        if found.left_seconds is not None:
            parts.append(f"about {duration(found.left_seconds)} left")
        yield _line(Text("  ".join(parts)))
        yield _line(_best(now))


def _status(now: Snapshot) -> str:
    """`search (exploration), 12 complete, 30 pruned, 1 running, 0:03:12`"""
    ended = [f"{count} {state}" for state, count in now.counts.items() if count]
    share = share_of(now)
    parts = [f"{now.phase} ({share})" if share else now.phase, *ended]
    if now.runs:
        done = len(now.runs) - now.open_runs
        parts.append(f"{done} of {len(now.runs)} confirmation runs")
    return ", ".join([*parts, f"{timedelta(seconds=round(now.elapsed))}"])


def _best(now: Snapshot) -> Text:
    if now.best is None:
        return Text("no trial is complete yet", "dim")
    value = f"{now.metric} {number(now.best.value)}"
    return Text.assemble(
        "best  ", (value, "green"), f"  trial {now.best.number}  {recipe_words(now.best)}"
    )


def _line(text: Text) -> Text:
    """One line, cut with an ellipsis where the terminal ends."""
    text.no_wrap, text.overflow = True, "ellipsis"
    return text


def _parts(
    now: Snapshot, happened: Sequence[Event], room: int, *, ascii_only: bool
) -> Iterable[Table | Text]:
    """The tables that fit into so many lines, each with a heading line and a blank one before."""
    workers = [worker for worker in now.workers if worker.ended_at is None]
    rooms = _rooms(room, len(workers), len(now.running), len(_groups(now)), len(happened))
    for_workers, for_trials, for_runs, for_events = rooms
    if for_workers:
        yield Text()
        yield _worker_table(now, workers[:for_workers], len(workers))
    if for_trials:
        yield Text()
        yield _trial_table(now, now.running[:for_trials], ascii_only=ascii_only)
    if for_runs:
        yield Text()
        yield _confirmation_table(now, for_runs)
    if for_events:
        yield Text()
        yield from (_line(_event(event)) for event in happened[-for_events:])


def _rooms(room: int, workers: int, trials: int, runs: int, events: int) -> tuple[int, ...]:
    """Rows of workers, trials, confirmed recipes and events that fit, with their two extra lines.

    Events get their least first, then workers, confirmation and trials; what is left is for events.
    """
    least = min(events, LEAST_EVENTS)
    left = room - (least + 1 if least else 0)
    shown = []
    for wanted in (min(workers, MOST_WORKERS), runs, trials):
        rows = max(0, min(wanted, left - 2))
        left -= rows + 2 if rows else 0
        shown.append(rows)
    for_workers, for_runs, for_trials = shown
    for_events = min(events, MOST_EVENTS, least + max(0, left))
    return for_workers, for_trials, for_runs, max(0, for_events if room > 1 else 0)


def _table(*columns: tuple[str, str], wide: int) -> Table:
    """A table without lines; the column `wide` takes what the others leave."""
    table = Table(box=None, padding=(0, 2, 0, 0), expand=True, header_style="dim", pad_edge=False)
    for place, (name, side) in enumerate(columns):
        table.add_column(
            Text(one_line(name)),
            justify="right" if side == "right" else "left",
            no_wrap=True,
            overflow="ellipsis",
            ratio=1 if place == wide else None,
        )
    return table


def _worker_table(now: Snapshot, shown: Sequence[WorkerRecord], count: int) -> Table:
    name = "worker" if len(shown) == count else f"{len(shown)} of {count} workers"
    columns = ((name, "left"), ("device", "left"), ("trains", "left"), ("up", "right"))
    table = _table(*columns, ("seen", "right"), wide=2)
    for worker in shown:
        silent = now.is_silent(worker)
        doing = "silent" if silent else _doing(now, worker)
        table.add_row(
            Text(_cut(one_line(worker_words(worker.name)))),
            Text(_cut(one_line(worker.device))),
            Text(doing, "red" if silent else ""),
            duration(max(0.0, now.now - worker.started_at)),
            f"{worker.since:.0f} s ago",
        )
    return table


def _cut(words: str) -> str:
    """So long at most: its beginning, and its end, where the process id is."""
    if len(words) <= MOST_NAME:
        return words
    half = (MOST_NAME - 3) // 2
    return f"{words[:half]}...{words[-half:]}"


#: Trials of a worker that are named.
NAMED = 3


def _doing(now: Snapshot, worker: WorkerRecord) -> str:
    """What a worker holds now; it tells what it does a few times in a lease only."""
    held = [f"{trial.number}" for trial in now.running if trial.worker == worker.name]
    runs = [run for run in now.runs if run.worker == worker.name and run.state in states.OPEN]
    held_runs = [f"confirmation of trial {run.number}, seed {run.seed}" for run in runs]
    tests = [
        f"range test of {test.optimizer}"
        for test in now.tests
        if test.worker == worker.name and test.state in states.OPEN
    ]
    more = f" and {len(held) - NAMED} more" if len(held) > NAMED else ""
    trials = f"trial{'s' if len(held) > 1 else ''} {', '.join(held[:NAMED])}{more}"
    parts = [*([trials] if held else []), *held_runs, *tests]
    return one_line("; ".join(parts) or "looks for work")


def _trial_table(now: Snapshot, shown: Sequence[TrialRecord], *, ascii_only: bool) -> Table:
    count = len(now.running)
    name = "trial" if len(shown) == count else f"{len(shown)} of {count}"
    columns = ((name, "right"), ("recipe", "left"), (f"{now.metric}", "right"), ("", "left"))
    table = _table(*columns, ("done", "right"), ("for", "right"), wide=1)
    for trial in shown:
        rows = now.curves.get(trial.id, ())
        values = [objective_value(row, now.spec) for row in rows]
        done = rows[-1].epoch / now.plan.horizon if rows else 0.0
        table.add_row(
            EMPTY if trial.number is None else f"{trial.number}",
            Text(_short_recipe(trial)),
            number(values[-1] if values else None, 3),
            sparkline(values, CURVE_CELLS, ascii_only=ascii_only),
            f"{100 * min(1.0, done):.0f} %",
            duration(max(0.0, now.now - trial.started_at)),
        )
    return table


def _short_recipe(trial: TrialRecord) -> str:
    recipe = Recipe.from_dict(trial.recipe) if trial.recipe else None
    again = f" (attempt {trial.attempt})" if trial.attempt > 1 else ""
    return EMPTY if recipe is None else one_line(short_title(recipe)) + again


def _groups(now: Snapshot) -> dict[int, list[ConfirmationRecord]]:
    """The confirmation runs of each recipe, by the number of its trial."""
    found: dict[int, list[ConfirmationRecord]] = {}
    for run in now.runs:
        found.setdefault(run.number, []).append(run)
    return found


def _confirmation_table(now: Snapshot, most: int) -> Table:
    rounds = ", ".join(dict.fromkeys(run.round for run in now.runs))
    columns = (("trial", "right"), (f"confirmed with fresh seeds to {rounds}", "left"))
    table = _table(*columns, ("runs", "right"), (f"mean {now.metric}", "right"), wide=1)
    for trial, runs in list(_groups(now).items())[:most]:
        values = [run.value for run in runs if run.value is not None]
        ended = sum(run.state not in states.OPEN for run in runs)
        table.add_row(
            f"{trial}",
            Text(" ".join(number(value, 3) for value in values)),
            f"{ended} of {len(runs)}",
            number(fmean(values) if values else None),
        )
    return table


def _event(event: Event) -> Text:
    return Text.assemble((f"{event.clock}  ", "dim"), (event.words, STYLES.get(event.kind, "")))
