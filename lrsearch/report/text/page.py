"""A report's tables in formatted cells, the same for the page and for markdown."""

from collections.abc import Sequence

from lrsearch.fusing.choice import Choice
from lrsearch.recipe.recipe import Recipe
from lrsearch.report.model import Report
from lrsearch.report.rows import Trial
from lrsearch.report.text.cost import part_names, planned_epochs
from lrsearch.report.text.format import EMPTY, amount, counted, duration, length_unit, number
from lrsearch.report.text.grid import Grid
from lrsearch.report.text.trial_end import trial_ends
from lrsearch.trial.states import StudyState, TrialState

#: Rows of the first table of trials.
TOP_ROWS = 10
#: The column with the sentence that says what ended a trial.
WHY = "why it ended"


def status(report: Report) -> str:
    """How far the study is."""
    used, total = report.study.trials_counted, report.study.trials_total
    started = f"{used} of {counted(total, 'trial')}" if total else counted(used, "trial")
    if report.spec.ladder is not None:  # it ends when it knows enough, not when the budget is used
        started = f"{counted(used, 'run')}, of {total} at most,"
    counts = ", ".join(f"{count} {state}" for state, count in report.counts.items() if count)
    text = f"{started} started" + (f": {counts}." if counts else ".")
    if report.study.state != StudyState.OPEN:
        text += f" The study is {report.study.state}."
    if report.counts[TrialState.RUNNING] or report.counts[TrialState.WAITING]:
        text += " Trials are still to end; this is how the study stands."
    return text


def cost(report: Report) -> Grid:
    """Epochs and training time of each part, against the plan."""
    planned = planned_epochs(report.plan)
    unit = length_unit(report.spec)
    seconds = {key: value for key, _, value in part_names(report.seconds, report.spec)}
    rows = []
    most_in_all: float | None = 0.0
    for key, name, spent in part_names(report.epochs, report.spec):
        most = planned.get(key)
        if key != "audit":
            most_in_all = None if most is None or most_in_all is None else most_in_all + most
        if spent or most or key == "search":
            bound = "within the search" if key == "audit" else _amount(most)
            rows.append((name, amount(spent), bound, duration(seconds[key])))
    if most_in_all is not None and report.plan.most_epochs is not None:
        most_in_all = min(most_in_all, report.plan.most_epochs)
    in_all = (amount(report.epochs.total), _amount(most_in_all), duration(report.seconds.total))
    columns = ("part", f"{unit} trained", "planned at most", "training time")
    return Grid(columns=columns, rows=(*rows, ("total", *in_all)))


def _amount(value: float | None) -> str:
    return EMPTY if value is None else amount(value)


def engines(report: Report) -> tuple[str, ...]:
    """How the trials were trained, a line for each device, and how they go on."""
    resume = f"Resume after an interruption: {report.resume}." if report.resume else ""
    trained = [
        f"Trained {Choice.from_row(record).title}; on {record.device}." for record in report.engines
    ]
    return (*trained, *([resume] if resume else []))


def confirmation(report: Report) -> Grid:
    """Every recipe that was confirmed."""
    columns = ("trial", "role", "mean", "95 % interval", "tied", "p", "runs", "values", "recipe")
    rows = []
    for entry in report.confirmed:
        low_high = EMPTY if entry.ci95 is None else " to ".join(number(end) for end in entry.ci95)
        values = ", ".join(number(value) for value in entry.values)
        failed = f" ({entry.failed} failed)" if entry.failed else ""
        is_tied = "yes" if entry.tied else "no"
        tied = EMPTY if entry is report.confirmed[0] else is_tied  # it is what others are tied with
        p = None if entry.difference is None else entry.difference.p
        cells = (str(entry.trial), entry.role, number(entry.mean), low_high, tied, number(p, 2))
        title = Recipe.from_dict(entry.recipe).title()
        rows.append((*cells, f"{entry.n}{failed}", values, title))
    return Grid(columns=columns, rows=tuple(rows))


def trial_table(report: Report, trials: Sequence[Trial], *, reasons: bool) -> Grid:
    """A row for each trial; with `reasons` why it ended, in a sentence."""
    ends = trial_ends(report) if reasons else {}
    metric, unit = report.metric, length_unit(report.spec)
    names = _other_metrics(trials, metric)
    columns = ("trial", metric, "recipe", *names, "state", unit, "time")
    table = []
    for trial in trials:
        metrics = trial.metrics or {}
        kind = "" if trial.kind == "sampled" else f" ({trial.kind})"
        table.append(
            (
                EMPTY if trial.number is None else str(trial.number),
                number(trial.value),
                EMPTY if trial.parsed is None else trial.parsed.title(),
                *(number(metrics.get(name)) for name in names),
                f"{trial.state}{kind}",
                amount(trial.epochs),
                duration(trial.seconds),
                *([ends[trial.id]] if reasons else []),
            )
        )
    return Grid(columns=(*columns, *([WHY] if reasons else [])), rows=tuple(table))


def trial_numbers(trials: Sequence[Trial], metric: str) -> list[tuple[float | None, ...]]:
    """What the cells of `trial_table` with reasons round, in its order; None for words."""
    names = _other_metrics(trials, metric)
    return [
        (
            trial.number,
            trial.value,
            None,
            *((trial.metrics or {}).get(name) for name in names),
            None,
            trial.epochs,
            trial.seconds,
            None,
        )
        for trial in trials
    ]


def _other_metrics(trials: Sequence[Trial], metric: str) -> list[str]:
    return list(dict.fromkeys(n for trial in trials for n in trial.metrics or () if n != metric))
