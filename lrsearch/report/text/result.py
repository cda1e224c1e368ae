"""The answer of a study in sentences, the same in the terminal, on the page and in markdown."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from lrsearch.catalog.script import SCRIPT
from lrsearch.confirmation.confirmed import Confirmed
from lrsearch.plain_data import Unchecked
from lrsearch.recipe.recipe import Recipe
from lrsearch.report.groups import group_rows
from lrsearch.report.model import Report
from lrsearch.report.rows import Trial
from lrsearch.report.text.confirmation import promised, sentences
from lrsearch.report.text.format import counted, mean, number
from lrsearch.report.text.no_answer import why_none
from lrsearch.trial.states import TrialState


@dataclass(frozen=True, kw_only=True)
class Answer:
    heading: str
    #: The recipe in one line; None while there is none.
    recipe: str | None
    #: Its fields in detail.
    fields: tuple[tuple[str, str], ...]
    #: Its score, then what that compares with.
    lines: tuple[str, ...]


def answer(report: Report) -> Answer:
    """The confirmed recipe, else the search's best, else why there is none."""
    winner, best = report.winner, report.best
    if winner is not None:
        recipe = Recipe.from_dict(winner.recipe)
        return Answer(
            heading="Best recipe, confirmed with fresh seeds",
            recipe=recipe.title(),
            fields=fields(recipe, report.spec.program),
            lines=(*_confirmed_lines(report, winner), *_baseline_lines(report)),
        )
    if best is not None and best.parsed is not None:
        return Answer(
            heading="Best recipe so far, on one seed and not confirmed",
            recipe=best.parsed.title(),
            fields=fields(best.parsed, report.spec.program),
            lines=(
                f"{score(report, number(best.value), best.metrics)} in trial {best.number}. The "
                f"best of many trials looks better than it is; fresh seeds tell by how much.",
                *_baseline_lines(report),
            ),
        )
    return Answer(heading="No answer yet", recipe=None, fields=(), lines=(why_none(report),))


def score(report: Report, value: str, metrics: Mapping[str, float | None] | None) -> str:
    """`val_loss 0.0709, accuracy 0.9746`: the objective, then what else was measured."""
    others = {name: v for name, v in (metrics or {}).items() if name != report.metric}
    known = [f", {name} {number(v)}" for name, v in others.items() if v is not None]
    return f"{report.metric} {value}{''.join(known)}"


def _confirmed_lines(report: Report, winner: Confirmed) -> Iterator[str]:
    runs = f"mean and 95 % interval of {winner.n} runs with fresh seeds"
    if winner.ci95 is None:
        runs = "one run with a fresh seed, so without an interval"
    failed = f" {counted(winner.failed, 'run')} more gave no value." if winner.failed else ""
    yield f"{score(report, mean(winner.mean, winner.ci95), winner.metrics)}: {runs}.{failed}"
    mine = report.trial(winner.trial)
    if mine is not None and report.best is not None:
        yield _in_the_search(mine, report.best, promised(winner.optimism))
    yield from sentences(winner, report.spec.objective)


def _in_the_search(mine: Trial, best: Trial, compared: str) -> str:
    """What the recommended recipe showed in the search, and the search's best beside it."""
    line = f"In the search, on one seed, trial {mine.number} had {number(mine.value)}"
    line += " when it was pruned" if mine.state == TrialState.PRUNED else ""
    if best.number == mine.number:
        return f"{line}, the search's best{compared}."
    return (
        f"{line}{compared}. The search's best was {number(best.value)} (trial {best.number}), "
        f"which fresh seeds do not recommend."
    )


def _baseline_lines(report: Report) -> Iterator[str]:
    baseline, entry, winner = report.baseline, report.confirmed_baseline, report.winner
    if baseline is None or baseline.parsed is None:
        return
    name = f"Baseline ({baseline.parsed.title()}):"
    if winner is not None and winner.trial == baseline.number:
        yield f"{name} it is the recipe above; no recipe of the search was better."
    elif entry is not None and winner is not None:
        runs = f"{report.metric} {mean(entry.mean, entry.ci95)} on {counted(entry.n, 'fresh seed')}"
        yield f"{name} {runs}; {_verdict(report, winner, entry)}."
    elif baseline.value is None:
        yield f"{name} it has no value; its state is {baseline.state}."
    else:
        value = score(report, number(baseline.value), baseline.metrics)
        yield f"{name} {value} on the search's seed."


def _verdict(report: Report, winner: Confirmed, baseline: Confirmed) -> str:
    if baseline.tied:
        return "these seeds do not tell the two apart"
    if report.spec.objective.better(winner.mean, baseline.mean):
        return "the recipe above is better"
    return "the baseline is better: keep it"


def fields(recipe: Recipe, program: str = "task") -> tuple[tuple[str, str], ...]:
    """Everything that the recipe sets, a line each; of a script not what it does by itself."""
    optimizer = {f"optimizer: {k}": v for k, v in recipe.optimizer.items() if k != "name"}
    schedule = {f"schedule: {k}": v for k, v in recipe.schedule.items() if k != "name"}
    no_warmup = None if program == "command" else "none"
    rows: dict[str, Unchecked] = {
        "optimizer": _name(recipe.optimizer_name),
        **optimizer,
        "schedule": _name(recipe.schedule_name),
        **schedule,
        "warm-up": f"{100 * recipe.warmup:g} % of all steps" if recipe.warmup else no_warmup,
        "epochs": recipe.epochs,
        "steps": recipe.steps,
        "batch size": recipe.batch_size,
        "batches of an optimizer step": recipe.accumulate if recipe.accumulate > 1 else None,
        "gradient clipped to norm": recipe.clip_norm,
        "precision": recipe.precision if program == "task" else None,
        "weights": "averaged (EMA)" if recipe.weights == "ema" else None,
        **dict(group_rows(recipe)),
        **{f"params: {key}": value for key, value in recipe.params.items()},
    }
    return tuple((name, _cell(value)) for name, value in rows.items() if value is not None)


def _name(name: str) -> str:
    return "the script's own" if name == SCRIPT else name


def _cell(value: Unchecked) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(_cell(item) for item in value)
    return f"{value:.6g}" if isinstance(value, float) else str(value)
