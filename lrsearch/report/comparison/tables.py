"""The tables of a comparison, as text: the same for terminal, page and Markdown."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from lrsearch.catalog.domains import Choice, Domain, Fixed, Range, Value
from lrsearch.catalog.script import in_words
from lrsearch.plain_data import Unchecked
from lrsearch.report.answer.run_cost import run_cost
from lrsearch.report.answer.safe_rates import LEAST_FITTED, safe_rates
from lrsearch.report.comparison.comparison import Comparison
from lrsearch.report.comparison.entry import Entry, OptimizerRates, Rates
from lrsearch.report.comparison.settings import Domains
from lrsearch.report.text.format import (
    EMPTY,
    amount,
    duration,
    learning_rate,
    length_unit,
    mean,
    number,
)
from lrsearch.report.text.grid import Grid
from lrsearch.report.text.safe_rates import safe_rates_sentence
from lrsearch.spec.identity import brief


@dataclass(frozen=True, kw_only=True)
class Part:
    """A table with its heading, and what must be said of it."""

    title: str
    grid: Grid
    #: Above it: sentences on its studies, and what its columns mean.
    lines: tuple[str, ...] = ()
    note: str = ""


def tables(found: Comparison) -> list[Part]:
    """In the order in which they are read; one without rows says why in its note."""
    return [_recipes(found), _cost(found), _rates(found), _searched(found), _settings(found)]


def _recipes(found: Comparison) -> Part:
    metric = found.objective.metric
    rows = []
    for entry in found.entries:
        report, recipe = entry.report, entry.report.recommended
        rows.append(
            (
                entry.label,
                report.state,
                _value(entry),
                EMPTY if recipe is None else f"{report.recommended_trial}",
                EMPTY if recipe is None else recipe.title(),
            )
        )
    columns = ("study", "state", metric, "trial", "recipe")
    return Part(
        title="Recipes",
        note=f"{metric}: mean and 95 % interval of runs with fresh seeds, where there are any.",
        grid=Grid(columns=columns, rows=tuple(rows)),
    )


def _value(entry: Entry) -> str:
    """The value of the recommended recipe, and what it is of."""
    winner = entry.report.winner
    if winner is not None:
        return f"{mean(winner.mean, winner.ci95)} (n = {winner.n})"
    return EMPTY if entry.value is None else f"{number(entry.value)} (search, n = 1)"


def _cost(found: Comparison) -> Part:
    rows = []
    for entry in found.entries:
        report, unit = entry.report, length_unit(entry.report.spec)
        cost = run_cost(report)
        one = EMPTY
        if cost is not None:
            length = "" if cost.epochs is None else f"{amount(cost.epochs)} {unit}, "
            one = f"{length}{duration(cost.seconds)}"
        counts = ", ".join(f"{count} {state}" for state, count in report.counts.items() if count)
        trained = f"{amount(report.epochs.total)} {unit}"
        rows.append((entry.label, counts or "none", trained, duration(report.seconds.total), one))
    columns = ("study", "trials", "trained in all", "training time", "one training of the recipe")
    return Part(title="Cost", grid=Grid(columns=columns, rows=tuple(rows)))


NEAR, FAR = "lr within 1 %", "lr within 5 %"


def _rates(found: Comparison) -> Part:
    pairs = _by_optimizer(found)
    best = f"best {found.objective.metric}"
    heads = ("optimizer", "study", "trials", "complete", "diverged", best, "at lr")
    full = Grid(
        columns=(*heads, NEAR, FAR),
        rows=tuple(_rates_row(entry, rates) for entry, rates in pairs),
    )
    grid = _without_empty(full)
    return Part(
        title="Safe learning rates",
        lines=tuple(_of_recipe(entry) for entry in found.entries if entry.report.recommended),
        note=" ".join(_explained([rates for _, rates in pairs], grid)),
        grid=grid,
    )


def _of_recipe(entry: Entry) -> str:
    """What the study's own answer says."""
    sentence = safe_rates_sentence(entry.report, safe_rates(entry.report))
    return f"{entry.label}: {sentence}"


def _explained(every: Sequence[OptimizerRates], grid: Grid) -> Iterator[str]:
    if not every:
        yield "No trial has ended."
    elif FAR not in grid.columns:
        yield f"A range for each optimizer takes {LEAST_FITTED} trials of it in a study."
    else:
        yield (
            "Within 1 % and 5 % of the best value: by the curve that is fitted to the optimizer's "
            f"trials, of which it takes {LEAST_FITTED}."
        )
    if any(0 < rates.fitted < LEAST_FITTED for rates in every):
        few = f"fewer than {LEAST_FITTED} of them lie near the best"
        yield f"~ {few}, and the range is likely wider."
    if any(rates.equivalent for rates in every):
        yield "* at momentum 0.9 and 64 samples a step, as momentum or these were searched."


def _without_empty(grid: Grid) -> Grid:
    """The columns that say something."""
    full = [
        place for place in range(len(grid.columns)) if {row[place] for row in grid.rows} - {EMPTY}
    ]
    return Grid(
        columns=tuple(grid.columns[place] for place in full),
        rows=tuple(tuple(row[place] for place in full) for row in grid.rows),
    )


def _by_optimizer(found: Comparison) -> list[tuple[Entry, OptimizerRates]]:
    """Each optimizer's studies beside each other."""
    pairs = [(entry, rates) for entry in found.entries for rates in entry.rates]
    names = list(dict.fromkeys(rates.optimizer for _, rates in pairs))
    return sorted(pairs, key=lambda pair: names.index(pair[1].optimizer))


def _rates_row(entry: Entry, rates: OptimizerRates) -> tuple[str, ...]:
    return (
        in_words(rates.optimizer),
        entry.label,
        str(rates.trials),
        str(rates.complete),
        str(rates.diverged),
        number(rates.best),
        EMPTY if rates.best_lr is None else learning_rate(rates.best_lr),
        _fitted(rates.percent_1, rates),
        _fitted(rates.percent_5, rates),
    )


def _fitted(ends: Rates | None, rates: OptimizerRates) -> str:
    """`0.01 to 0.1`; `below` and `above` where the trials end before the range does."""
    if ends is None:
        return EMPTY
    low = f"{'below ' if ends.open_low else ''}{learning_rate(ends.low)}"
    high = f"{'above ' if ends.open_high else ''}{learning_rate(ends.high)}"
    few = "~" if rates.fitted < LEAST_FITTED else ""
    return f"{low} to {high}{few}{'*' if rates.equivalent else ''}"


def _searched(found: Comparison) -> Part:
    rows = [(each.part, *map(_domains, each.domains)) for each in found.searched]
    return Part(
        title="Spaces",
        note="" if rows else "All search the same space.",
        grid=Grid(columns=("searched", *found.labels), rows=tuple(rows)),
    )


def _settings(found: Comparison) -> Part:
    rows = [(each.field, *map(_setting, each.values)) for each in found.settings]
    return Part(
        title="Study files",
        note="" if rows else "Their other fields are the same.",
        grid=Grid(columns=("field", *found.labels), rows=tuple(rows)),
    )


def _setting(value: Unchecked) -> str:
    if value is None:
        return "none"
    return value if isinstance(value, str) else brief(value)


def _domains(found: Domain | Domains | str | None) -> str:
    """What is searched in a part of a space, in words."""
    if found is None:
        return EMPTY
    if isinstance(found, str):
        return found
    if isinstance(found, Mapping):
        fields = [f"{name} {_domain(domain)}" for name, domain in found.items()]
        return ", ".join(fields) or "without fields"
    return _domain(found)


def _domain(found: Domain) -> str:
    """`0.0001 to 0.1`, `0.9 or 0.95`, `0.9`; in torch's units."""
    if isinstance(found, Fixed):
        return _word(found.value)
    if isinstance(found, Choice):
        return " or ".join(map(_word, found.choices))
    return " ".join(_of_range(found))


def _of_range(found: Range) -> Iterator[str]:
    low, high = found.low, found.high
    if found.unit == "complement" and found.in_unit:
        low, high = 1 - high, 1 - low
    yield f"{low:.6g} to {high:.6g}"
    if found.log:
        yield "(log of 1 - value)" if found.unit == "complement" else "(log)"
    if found.step is not None:
        yield f"in steps of {found.step:.6g}"
    if found.unit == "momentum_equivalent" and found.in_unit:
        yield "at momentum 0.9 and 64 samples a step"


def _word(value: Value) -> str:
    if isinstance(value, tuple):
        return "/".join(map(_word, value))
    if isinstance(value, bool) or value is None:
        return str(value).lower()
    return f"{value:.6g}" if isinstance(value, float) else str(value)
