"""What `lrsearch tune` says before it begins: what was decided, and which of it by default."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lrsearch.command.template import written
from lrsearch.command.tune_options import DEFAULT_RUNS, TuneOptions
from lrsearch.command.tune_values import Values
from lrsearch.plain_data import Fields


@dataclass(frozen=True, kw_only=True)
class Decided:
    """What follows from the options."""

    metric: str
    direction: str
    #: As a study file has it.
    report: Fields
    fields: Mapping[str, Values]
    #: The fields that the command is told.
    told: Sequence[str]
    #: Whether the command takes a seed.
    seeded: bool


def lines_of(options: TuneOptions, decided: Decided) -> tuple[str, ...]:
    """One line each for the objective, the horizon, the search and the budget."""
    return (
        _metric_line(options, decided),
        _horizon_line(options, decided),
        _searched_line(options, decided),
        _budget_line(options, decided),
    )


def _default(is_default: bool, option: str) -> str:
    return f" (default; {option} says otherwise)" if is_default else ""


def _metric_line(options: TuneOptions, decided: Decided) -> str:
    by_name = " by its name (default; --direction says otherwise)"
    how = f"{decided.direction}d{by_name if options.direction is None else ''}"
    source = ", ".join(f"{name}: {value}" for name, value in decided.report.items())
    return f"objective: {decided.metric}, {how}; read from {source}"


def _horizon_line(options: TuneOptions, decided: Decided) -> str:
    lengths = {"epochs": options.epochs, "steps": options.steps}
    given = {unit: length for unit, length in lengths.items() if length is not None}
    if not given:
        return (
            "horizon: as long as the script runs; its reports are counted, and nothing is pruned "
            "before their number is known (default; --epochs N or --steps N says it)"
        )
    ((unit, length),) = given.items()
    how = "for which the script has to run by itself"
    if unit in decided.told:
        how = f"given to the script as {{{unit}}}"
    return f"horizon: {length} {unit}, {how}"


def _searched_line(options: TuneOptions, decided: Decided) -> str:
    names = {"optimizer": options.optimizer, "schedule": options.schedule}
    parts = [f"{name} {words}" for name, words in names.items() if words is not None]
    for field, values in decided.fields.items():
        by_default = field == "optimizer.lr" and options.lr is None
        note = _default(by_default, "--lr LOW..HIGH")
        parts.append(f"{written(field)[1:-1]} {values.text}{note}")
    return f"search: {', '.join(parts)}"


def _budget_line(options: TuneOptions, decided: Decided) -> str:
    runs = DEFAULT_RUNS if options.runs is None else options.runs
    budget = f"budget: {runs} runs{_default(options.runs is None, '--runs N')}"
    if options.confirm == "none":
        return f"{budget}; no confirmation"
    if not decided.seeded:
        return f"{budget}; no confirmation, because the command has no {{seed}}"
    return f"{budget}; if it is enough, the best are trained again with fresh seeds"
