"""A report's tables in words and formatted cells, the same for the page and for markdown."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lrsearch.range_test.analysis import Spread
from lrsearch.recipe.recipe import Recipe
from lrsearch.report.model import Confirmed, RangeRow, Report, TrialRow
from lrsearch.report.text.format import EMPTY, MOST_DECIMALS, duration

#: Rows of the first table of trials.
TOP_ROWS = 10
#: What the parts of a study are called.
PARTS = {
    "range_test": "range test",
    "search": "search",
    "audit": "audit",
    "confirm": "confirmation",
}


@dataclass(frozen=True, kw_only=True)
class Answer:
    heading: str
    #: The recipe in one line; None while there is none.
    recipe: str | None
    #: Its fields in detail.
    fields: tuple[tuple[str, str], ...]
    #: Its score, then what that compares with.
    lines: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Grid:
    """A table of text."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def cells(self, row: tuple[str, ...]) -> list[tuple[str, str]]:
        """Each cell with the name of its column."""
        return list(zip(self.columns, row, strict=True))


def number(value: float | None) -> str:
    return EMPTY if value is None else f"{value:.4g}"


def _epochs(value: float) -> str:
    return f"{value:.0f}" if value >= 100 or value == int(value) else f"{value:.1f}"


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def mean(entry: Confirmed) -> str:
    """`0.0573 ± 0.0064`, or the mean alone for a single run."""
    if entry.ci95 is None:
        return number(entry.mean)
    half = (entry.ci95[1] - entry.ci95[0]) / 2
    if half == 0:
        return f"{number(entry.mean)} ± 0"
    decimals = 1 - math.floor(math.log10(half))
    if not 0 <= decimals <= MOST_DECIMALS:
        return f"{number(entry.mean)} ± {half:.2g}"
    return f"{entry.mean:.{decimals}f} ± {half:.{decimals}f}"


def status(report: Report) -> str:
    """How far the study is."""
    total = report.cost.trials_total
    used = report.cost.trials_used
    started = f"{used} of {_plural(total, 'trial')}" if total else _plural(used, "trial")
    counts = ", ".join(f"{count} {state}" for state, count in report.counts.items() if count)
    text = f"{started} started" + (f": {counts}." if counts else ".")
    if report.state != "open":
        text += f" The study is {report.state}."
    if report.counts["running"]:
        text += " Trials are still running; this is how the study stands."
    return text


def answer(report: Report) -> Answer:
    winner, best = report.winner(), report.best
    if winner is not None:
        return Answer(
            heading="The confirmed recipe",
            recipe=winner.recipe.title(),
            fields=fields(winner.recipe),
            lines=(*_confirmed_lines(report, winner), *_baseline_lines(report)),
        )
    if best is not None and best.recipe is not None:
        return Answer(
            heading="The best recipe so far, not confirmed",
            recipe=best.recipe.title(),
            fields=fields(best.recipe),
            lines=(
                f"{report.history.metric} {number(best.value)}{_metrics(report, best.metrics)} in "
                f"trial {best.trial}, on one seed. The best of many trials looks better "
                f"than it is; fresh seeds tell by how much.",
                *_baseline_lines(report),
            ),
        )
    return Answer(heading="No answer yet", recipe=None, fields=(), lines=(_why_none(report),))


def _confirmed_lines(report: Report, winner: Confirmed) -> list[str]:
    metric = report.history.metric
    runs = f"mean and 95 % interval of {winner.n} runs with fresh seeds"
    if winner.ci95 is None:
        runs = "one run with a fresh seed, so without an interval"
    failed = f" {_plural(winner.failed, 'run')} more gave no value." if winner.failed else ""
    lines = [f"{metric} {mean(winner)}{_metrics(report, winner.metrics)}: {runs}.{failed}"]
    mine = next((row for row in report.trials if row.trial == winner.trial), None)
    if mine is not None and report.best is not None:
        line = f"In the search, on one seed, its trial {mine.trial} had {number(mine.value)}"
        line += " when it was pruned" if mine.state == "pruned" else ""
        if report.best.trial == mine.trial:
            line += ", the search's best."
        else:
            line += f"; the search's best was {number(report.best.value)} (trial "
            line += f"{report.best.trial}), which confirmation does not recommend."
        lines.append(line)
    return [*lines, *winner.sentences]


def _baseline_lines(report: Report) -> list[str]:
    baseline = report.baseline
    if baseline is None or baseline.recipe is None:
        return []
    name = f"Baseline ({baseline.recipe.title()}): "
    entry, winner = report.confirmed_baseline(), report.winner()
    if winner is not None and winner.trial == baseline.trial:
        return [f"{name}it is the recipe above; no recipe of the search was better."]
    if entry is None or winner is None:
        if baseline.value is None:
            return [f"{name}no value, it is {baseline.state}."]
        return [f"{name}{number(baseline.value)} on the search's seed."]
    if entry.tied:
        verdict = "these seeds do not tell the two apart"
    elif report.spec.objective.better(winner.mean, entry.mean):
        verdict = "the recipe above is better"
    else:
        verdict = "the baseline is better: keep it"
    return [f"{name}{mean(entry)} on {_plural(entry.n, 'fresh seed')}; {verdict}."]


def _metrics(report: Report, metrics: Mapping[str, float | None]) -> str:
    """What else was measured, beside the objective."""
    others = {name: value for name, value in metrics.items() if name != report.history.metric}
    return "".join(f", {name} {number(v)}" for name, v in others.items() if v is not None)


def _why_none(report: Report) -> str:
    counts = report.counts
    ended = sum(count for state, count in counts.items() if state != "running")
    if not ended:
        return "No trial has ended yet."
    if counts["diverged"] == ended:
        return (
            f"All {_plural(ended, 'ended trial')} diverged. Lower the learning rates of the space."
        )
    if counts["failed"] == ended:
        return f"All {_plural(ended, 'ended trial')} failed; the table of trials says why."
    return "No trial has been trained to its end yet."


def fields(recipe: Recipe) -> tuple[tuple[str, str], ...]:
    """Everything that the recipe sets, a line each."""
    optimizer = {f"optimizer: {k}": v for k, v in recipe.optimizer.items() if k != "name"}
    schedule = {f"schedule: {k}": v for k, v in recipe.schedule.items() if k != "name"}
    rows = {
        "optimizer": recipe.optimizer["name"],
        **optimizer,
        "schedule": recipe.schedule["name"],
        **schedule,
        "warm-up": f"{100 * recipe.warmup:g} % of all steps" if recipe.warmup else "none",
        "epochs": recipe.epochs,
        "steps": recipe.steps,
        "batch size": recipe.batch_size,
        "batches of an optimizer step": recipe.accumulate if recipe.accumulate > 1 else None,
        "gradient clipped to norm": recipe.clip_norm,
        "precision": recipe.precision,
        "weights": "averaged (EMA)" if recipe.weights == "ema" else None,
        **{f"params: {key}": value for key, value in recipe.params.items()},
    }
    return tuple((name, _cell(value)) for name, value in rows.items() if value is not None)


def _cell(value: object) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(_cell(item) for item in value)
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def cost(report: Report) -> Grid:
    spent, planned, seconds = report.cost.epochs, report.cost.planned, report.cost.seconds
    rows = [
        (
            PARTS.get(part, part),
            _epochs(used),
            _most(part, planned),
            duration(seconds.get(part, 0.0)),
        )
        for part, used in spent.items()
        if used or planned.get(part) or part == "search"
    ]
    bounded = all(part in planned or part == "audit" for part, used in spent.items() if used)
    most = _epochs(sum(planned.values())) if bounded and planned else EMPTY
    total = ("total", _epochs(sum(spent.values())), most, duration(sum(seconds.values())))
    columns = ("part", "epochs trained", "at most, by plan", "training time")
    return Grid(columns=columns, rows=(*rows, total))


def _most(part: str, planned: Mapping[str, float]) -> str:
    if part == "audit":
        return "within the search"
    return _epochs(planned[part]) if part in planned else EMPTY


def engines(report: Report) -> tuple[str, ...]:
    """How the trials were trained, a line for each device."""
    return tuple(f"Trained {row.title}; on {row.device}." for row in report.engines)


def confirmation(report: Report) -> Grid:
    columns = ("trial", "role", "mean", "95 % interval", "tied", "p", "runs", "values", "recipe")
    rows = []
    for entry in report.confirmed:
        low_high = EMPTY if entry.ci95 is None else " to ".join(number(end) for end in entry.ci95)
        values = ", ".join(number(value) for value in entry.values)
        failed = f" ({entry.failed} failed)" if entry.failed else ""
        tied = "yes" if entry.tied else "no"
        cells = (str(entry.trial), entry.role, number(entry.mean), low_high, tied, number(entry.p))
        rows.append((*cells, f"{entry.n}{failed}", values, entry.recipe.title()))
    return Grid(columns=columns, rows=tuple(rows))


def range_tests(rows: Sequence[RangeRow]) -> Grid:
    """Of each optimizer the window, and what was read from its ramps."""
    columns = ("optimizer", "window", "edge", "lowest / 10", "valley", "steepest", "seeds")
    table = []
    for row in rows:
        result = row.result
        if result is None:
            cells = (_no_window(row), *[EMPTY] * 5)
        else:
            window = " to ".join(f"{lr:.2g}" for lr in result.window or ())
            readings = (result.edge, result.min_over_10, result.valley, result.steepest)
            seeds = str(len(result.ramps))
            cells = (window or _no_window(row), *(_spread(each) for each in readings), seeds)
        table.append((row.optimizer, *cells))
    return Grid(columns=columns, rows=tuple(table))


def _no_window(row: RangeRow) -> str:
    return f"none: {row.reason}" if row.reason else row.state


def _spread(spread: Spread | None) -> str:
    """`0.05 (0.04 to 0.07)`: the median, and the lowest and highest seed."""
    if spread is None:
        return EMPTY
    if spread.low == spread.high:
        return f"{spread.median:.2g}"
    return f"{spread.median:.2g} ({spread.low:.2g} to {spread.high:.2g})"


def trial_table(report: Report, rows: tuple[TrialRow, ...], *, reasons: bool) -> Grid:
    metric = report.history.metric
    names = list(dict.fromkeys(name for row in rows for name in row.metrics if name != metric))
    columns = ("trial", metric, "recipe", *names, "state", "epochs", "time")
    table = []
    for row in rows:
        table.append(
            (
                EMPTY if row.trial is None else str(row.trial),
                number(row.value),
                row.recipe.title() if row.recipe else EMPTY,
                *(number(row.metrics.get(name)) for name in names),
                row.state if row.kind == "sampled" else f"{row.state} ({row.kind})",
                _epochs(row.epochs),
                duration(row.seconds),
                *([row.reason or ""] if reasons else []),
            )
        )
    return Grid(columns=(*columns, *(["reason"] if reasons else [])), rows=tuple(table))
