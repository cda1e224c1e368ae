"""Every candidate of a confirmation: its seeds, its means, and what became of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from lrsearch.confirmation.plan import losses_of, standings
from lrsearch.confirmation.runs import CHOOSE, REPORT, TEST
from lrsearch.confirmation.statistics import Difference, common_step, difference, interval
from lrsearch.recipe.recipe import Recipe
from lrsearch.recipe.title import short_title
from lrsearch.report.model import Report
from lrsearch.report.text.format import counted, number
from lrsearch.storage.records import ConfirmationRecord


@dataclass(frozen=True, kw_only=True)
class Mean:
    """Of the runs of one round."""

    round: str
    n: int
    mean: float
    #: 95 % t-interval; None for a single run.
    ci95: tuple[float, float] | None
    #: Values less those of the recommended one on the same seeds; None for that one itself, and
    #: without a common seed.
    difference: Difference | None


@dataclass(frozen=True, kw_only=True)
class SeedRun:
    """A run that has ended, with a value or without."""

    round: str
    seed: int
    state: str
    value: float | None


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A recipe that was confirmed, or was to be."""

    trial: int
    recipe: Recipe
    runs: tuple[SeedRun, ...]
    #: Of the runs that chose, then of those that report.
    means: tuple[Mean, ...]
    #: A sentence.
    fate: str

    @property
    def title(self) -> str:
        """`6: adamw lr 0.00908 · step`"""
        return f"{self.trial}: {short_title(self.recipe)}"


def candidates_of(report: Report) -> tuple[Candidate, ...]:
    """The recommended one first, then by how far each came, and by its mean there."""
    runs = [run for run in report.runs if run.round != TEST]
    minimize = report.spec.objective.direction == "minimize"
    standing = standings(runs, minimize=minimize)
    first = report.winner.trial if report.winner is not None else next(iter(standing), None)
    numbers = list(dict.fromkeys(run.number for run in runs))
    found = [
        candidate
        for number_ in numbers
        if (candidate := _candidate(report, runs, number_, first)) is not None
    ]

    def place(candidate: Candidate) -> tuple[bool, bool, int, float]:
        chosen = [run for run in candidate.runs if run.round == CHOOSE]
        reported = any(mean.round == REPORT for mean in candidate.means)
        losses = [report.spec.objective.loss(mean.mean) for mean in candidate.means]
        return (
            candidate.trial != first,
            not reported,
            -len(chosen),
            losses[-1] if losses else float("inf"),
        )

    return tuple(sorted(found, key=place))


def _candidate(
    report: Report, runs: Sequence[ConfirmationRecord], number_: int, first: int | None
) -> Candidate | None:
    trial = report.trial(number_)
    if trial is None or trial.parsed is None:
        return None
    mine = [run for run in runs if run.number == number_]
    step = common_step([each.value for each in report.trials if each.value is not None])
    return Candidate(
        trial=number_,
        recipe=trial.parsed,
        runs=tuple(
            SeedRun(round=run.round, seed=run.seed, state=run.state, value=run.value)
            for run in mine
        ),
        means=tuple(
            mean
            for round_ in (CHOOSE, REPORT)
            if (mean := _mean(runs, number_, first, round_, step)) is not None
        ),
        fate=_fate(report, runs, number_, first),
    )


def _mean(
    runs: Sequence[ConfirmationRecord], number_: int, first: int | None, round_: str, step: float
) -> Mean | None:
    mine = _values(runs, number_, round_)
    known = [value for value in mine.values() if value is not None]
    if not known:
        return None
    beside = None
    if first is not None and first != number_:
        beside = difference(mine, _values(runs, first, round_), step=step)
    return Mean(
        round=round_,
        n=len(known),
        mean=fmean(known),
        ci95=interval(known, step=step),
        difference=beside,
    )


def _values(
    runs: Sequence[ConfirmationRecord], number_: int, round_: str
) -> Mapping[int, float | None]:
    return losses_of(runs, number_, minimize=True, rounds=(round_,))  # values as they are


def _fate(
    report: Report, runs: Sequence[ConfirmationRecord], number_: int, first: int | None
) -> str:
    """What became of it, and why."""
    mine = [run for run in runs if run.number == number_]
    if number_ == first:
        return "recommended" if report.winner is not None else "leads so far"
    failed = next((run for run in mine if run.value is None and run.state != "waiting"), None)
    if failed is not None and failed.state in ("diverged", "failed"):
        return f"out: it {failed.state} on seed {failed.seed}"
    if any(run.round == REPORT for run in mine):
        role = next(run.role for run in mine if run.round == REPORT)
        return {"baseline": "the baseline", "winner": "led the choice"}.get(role, "the runner-up")
    return _why_dropped(report, runs, number_)


def _why_dropped(report: Report, runs: Sequence[ConfirmationRecord], number_: int) -> str:
    """Its place among those that had as many seeds when it was left behind."""
    objective = report.spec.objective
    chosen = [run for run in runs if run.round == CHOOSE]
    seeds = {run.seed for run in chosen if run.number == number_}
    means = {}
    for other in dict.fromkeys(run.number for run in chosen):
        values = [run.value for run in chosen if run.number == other and run.seed in seeds]
        known = [value for value in values if value is not None]
        if len(known) == len(values) == len(seeds):
            means[other] = fmean(known)
    ranked = sorted(means, key=lambda other: objective.loss(means[other]))
    if number_ not in means:
        return "in progress"
    went_on = sum({run.seed for run in chosen if run.number == other} > seeds for other in means)
    kept = [number(means[other]) for other in ranked[: went_on or 1]]
    means_of_kept = kept[0] if kept[0] == kept[-1] else f"{kept[0]} to {kept[-1]}"
    later = f"the best {went_on} went on" if went_on else "the best was trained on fresh seeds"
    later += f", with {means_of_kept}"
    return (
        f"dropped after {counted(len(seeds), 'seed')}: mean {number(means[number_])}, place "
        f"{ranked.index(number_) + 1} of {len(ranked)}; {later}"
    )
