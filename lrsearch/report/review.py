"""What a study says about itself: how often pruning erred, and what more trials would bring."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from statistics import stdev

from lrsearch.advice import lr_edges
from lrsearch.advice.lr_edges import RangeEdge, StabilityEdge
from lrsearch.advice.more_trials import LEAST_TRIALS, Gain, gain_of_doubling
from lrsearch.confirmation.confirmed import Confirmed
from lrsearch.recipe.recipe import Recipe
from lrsearch.report.rows import OptimizerRangeTest, Trial
from lrsearch.spec.study_spec import StudySpec
from lrsearch.storage.audited_trials import StudyEnds
from lrsearch.trial.pruning_audit import Audited, Rate, falsely_pruned, rates
from lrsearch.trial.states import TrialState


@dataclass(frozen=True, kw_only=True)
class Audit:
    """How often pruning would have erred, over the studies of a project."""

    overall: Rate
    #: By schedule: those with enough audited trials.
    families: Mapping[str, Rate]
    #: Audited trials of the study itself.
    own: int
    #: Studies with audited trials.
    studies: int


@dataclass(frozen=True, kw_only=True)
class Warned:
    """The answer's learning rate lies where a search should not end."""

    trial: int
    optimizer: str
    lr: float
    edge: RangeEdge | StabilityEdge


@dataclass(frozen=True, kw_only=True)
class Advice:
    """What twice the trials would gain, and where the answer lies at an edge."""

    #: None for too few trials.
    gain: Gain | None
    #: Standard deviation of the confirmed values, of one seed each; None for fewer than two.
    seed_sd: float | None
    warnings: tuple[Warned, ...]


def audit_of(study_id: int, trials: Sequence[Trial], ends: Mapping[int, StudyEnds]) -> Audit:
    """`trials` are the audited ones of the project, by study; `ends` are those of its studies."""
    counted = _each_once(trials, study_id)
    verdicts: list[tuple[str, bool]] = []
    pooled = 0
    for owner, mine in groupby(counted, key=lambda trial: trial.study_id):
        pooled += 1
        verdicts += _verdicts(list(mine), ends[owner])
    overall, families = rates(verdicts)
    own = sum(trial.study_id == study_id for trial in counted)
    return Audit(overall=overall, families=families, own=own, studies=pooled)


def _each_once(trials: Iterable[Trial], own: int) -> list[Trial]:
    """Without the copies of trials that an extended study shares with its successor.

    Where the study `own` has one it is that which counts, else the youngest study's.
    """
    found: dict[tuple[str, ...], Trial] = {}
    for trial in sorted(trials, key=lambda trial: (trial.study_id == own, trial.study_id)):
        same = (trial.started_at, trial.ended_at, trial.seconds, trial.value, trial.recipe)
        found[tuple(str(value) for value in same)] = trial
    return sorted(found.values(), key=lambda trial: (trial.study_id, trial.ticket))


def _verdicts(trials: Iterable[Trial], ends: StudyEnds) -> list[tuple[str, bool]]:
    sign = 1.0 if ends.direction == "minimize" else -1.0
    audited = [
        Audited(
            family=trial.parsed.schedule_name,
            loss=None if trial.value is None else sign * trial.value,
        )
        for trial in trials
        if trial.parsed is not None
    ]
    losses = [sign * value for value in ends.values]
    return falsely_pruned(audited, losses=losses, started=ends.started)


def advice_of(
    spec: StudySpec,
    trials: Iterable[Trial],
    tests: Iterable[OptimizerRangeTest],
    best: Trial | None,
    confirmed: Sequence[Confirmed],
) -> Advice:
    """The answer is the winner of `confirmed`, else the search's `best`."""
    ended = [trial for trial in trials if trial.recipe and trial.has_ended]
    winner = next((entry for entry in confirmed if entry.role != "baseline"), None)
    warnings: tuple[Warned, ...] = ()
    if winner is not None:
        warnings = _warnings(spec, winner.trial, Recipe.from_dict(winner.recipe), ended, tests)
    elif best is not None and best.number is not None and best.parsed is not None:
        warnings = _warnings(spec, best.number, best.parsed, ended, tests)
    values = () if winner is None else winner.values
    return Advice(
        gain=_gain(spec, ended),
        seed_sd=stdev(values) if len(values) > 1 else None,
        warnings=warnings,
    )


def _gain(spec: StudySpec, ended: Sequence[Trial]) -> Gain | None:
    if len(ended) < LEAST_TRIALS:
        return None
    complete, stopped = (
        [spec.objective.loss(t.value) for t in ended if t.state == state and t.value is not None]
        for state in (TrialState.COMPLETE, TrialState.PRUNED)
    )
    without_value = len(ended) - len(complete) - len(stopped)
    return gain_of_doubling(complete, stopped, without_value=without_value)


def _warnings(
    spec: StudySpec,
    number: int,
    recipe: Recipe,
    trials: Iterable[Trial],
    tests: Iterable[OptimizerRangeTest],
) -> tuple[Warned, ...]:
    name = recipe.optimizer_name
    tested = next((test.parsed for test in tests if test.optimizer == name), None)
    others = [
        (trial.parsed, trial.state == TrialState.DIVERGED)
        for trial in trials
        if trial.state != TrialState.FAILED and trial.parsed is not None  # for reasons of its own
    ]
    cliff = lr_edges.stability_edge(recipe, spec.space, others, tested)
    end = lr_edges.range_edge(recipe, spec.space)
    found: list[RangeEdge | StabilityEdge] = []
    if end is not None and not (end.side == "high" and cliff is not None):
        found.append(end)
    if cliff is not None:
        found.append(cliff)
    return tuple(Warned(trial=number, optimizer=name, lr=recipe.lr, edge=edge) for edge in found)
