"""How value depends on the learning rate, optimizer by optimizer: plain values, nothing drawn."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from lrsearch.advice.divergence_curve import DivergenceCurve, fit_divergence
from lrsearch.advice.lr_basin import Basin, Safe, fit_basin
from lrsearch.advice.lr_edges import recipe_scale, scale_of, searched_lr
from lrsearch.advice.stopped_trials import Course, Standing, standings
from lrsearch.report.model import Report
from lrsearch.report.rows import Trial
from lrsearch.space.sampling_units import REFERENCE_BATCH, REFERENCE_MOMENTUM
from lrsearch.trial.states import TrialState

#: Where the learning rates of one optimizer's trials differ from their momentum-equivalent ones by
#: factors that are further apart than this, these are compared.
ALIKE = 1.01
#: Complete trials below which no learning rate is called safe: what pruned ones would have reached
#: is a guess.
LEAST_COMPLETE = 5


@dataclass(frozen=True, kw_only=True)
class LrTrial:
    """An ended trial and its peak learning rate."""

    trial: int
    optimizer: str
    schedule: str
    #: In torch's units.
    lr: float
    #: The momentum-equivalent one, where a panel compares these; else the same.
    at: float
    state: str
    #: Of a complete trial; of a pruned one what it would typically have reached, None where nothing
    #: tells; None of all others.
    value: float | None
    #: Of a pruned trial.
    standing: Standing | None
    #: Share of the horizon that it was trained for.
    progress: float


@dataclass(frozen=True, kw_only=True)
class Edge:
    """The end of a range of learning rates."""

    #: `range`: of the searched one; `window`: of what the range test read.
    kind: str
    at: float


@dataclass(frozen=True, kw_only=True)
class LrPanel:
    """The trials of one optimizer, or of one with one schedule, and what they say together."""

    optimizer: str
    #: None: all schedules.
    schedule: str | None
    #: Whether its learning rates are momentum-equivalent.
    equivalent: bool
    trials: tuple[LrTrial, ...]
    #: In the objective turned so that lower is better; None for too few trials.
    basin: Basin | None
    divergence: DivergenceCurve | None
    edges: tuple[Edge, ...]

    @property
    def is_sure(self) -> bool:
        """Whether enough trials were trained to their end that its basin is no mere guess."""
        return self.basin is not None and self.count(TrialState.COMPLETE) >= LEAST_COMPLETE

    def count(self, state: TrialState) -> int:
        return sum(trial.state == state for trial in self.trials)


@dataclass(frozen=True, kw_only=True)
class SafeRates:
    """Learning rates of a recipe, in torch's units at its momentum, that lose little."""

    optimizer: str
    #: None: told by all schedules, as too few trials have the recipe's.
    schedule: str | None
    #: Trials that tell.
    trials: int
    #: At most 1 % and at most 5 % worse than the best learning rate.
    small: Safe
    large: Safe


def optimizer_panels(report: Report) -> tuple[LrPanel, ...]:
    """A panel for each optimizer that an ended trial has, in the order of the space."""
    trials = lr_trials(report)
    return tuple(_panel(report, mine, None) for mine in _split(report, trials, by_schedule=False))


def schedule_panels(report: Report) -> tuple[LrPanel, ...]:
    """A panel for each pair of optimizer and schedule that an ended trial has."""
    found = _split(report, lr_trials(report), by_schedule=True)
    return tuple(_panel(report, mine, mine[0].schedule) for mine in found)


def safe_rates(report: Report) -> SafeRates | None:
    """Around the best learning rate of the recommended recipe's optimizer and schedule.

    Where too few trials have its schedule, all of its optimizer tell; None where these are too few:
    of LEAST_COMPLETE complete ones, and as many as a basin takes, or where no recipe is recommended.
    """
    recipe = report.recommended
    if recipe is None:
        return None
    name, schedule = recipe.optimizer_name, recipe.schedule_name
    mine = [trial for trial in lr_trials(report) if trial.optimizer == name]
    narrow = [trial for trial in mine if trial.schedule == schedule]
    for trials, told in ((narrow, schedule), (mine, None)):
        complete = sum(trial.state == TrialState.COMPLETE for trial in trials)
        basin = _basin(report, trials) if complete >= LEAST_COMPLETE else None
        if basin is not None:
            scale = recipe_scale(recipe, report.spec.space) if _is_equivalent(trials) else 1.0
            small, large = (_rescaled(safe, 1 / scale) for safe in basin.safe)
            return SafeRates(
                optimizer=name, schedule=told, trials=basin.trials, small=small, large=large
            )
    return None


def _rescaled(safe: Safe, factor: float) -> Safe:
    return replace(safe, low=safe.low * factor, high=safe.high * factor)


def lr_trials(report: Report) -> tuple[LrTrial, ...]:
    """Every ended trial that has a recipe, by ticket."""
    ended = [t for t in report.trials if t.has_ended and t.recipe and t.number is not None]
    courses = _courses(report, ended)
    horizon = report.spec.horizon_epochs(report.study.steps_per_epoch)
    drawn = [
        found
        for trial, standing in zip(ended, standings(courses), strict=True)
        if (found := _lr_trial(report, trial, standing, horizon)) is not None
    ]
    plain = {name for name in {t.optimizer for t in drawn} if not _differ(drawn, name)}
    return tuple(replace(t, at=t.lr) if t.optimizer in plain else t for t in drawn)


def _courses(report: Report, trials: Iterable[Trial]) -> list[Course]:
    """What each left at rungs. What is not finite is left out; so are the ends of all but the
    complete trials."""
    rungs: dict[int, dict[int, float]] = {}
    for mark in report.marks:
        if abs(mark.signal) < float("inf"):
            rungs.setdefault(mark.trial, {})[mark.rung] = mark.signal
    loss = report.spec.objective.loss
    return [
        Course(
            rungs=rungs.get(trial.id, {}),
            final=loss(trial.value) if trial.is_scored and trial.value is not None else None,
        )
        for trial in trials
    ]


def _lr_trial(
    report: Report, trial: Trial, standing: Standing | None, horizon: float
) -> LrTrial | None:
    recipe = trial.parsed
    if recipe is None or trial.number is None or recipe.lr <= 0:
        return None
    pruned = trial.state == TrialState.PRUNED
    value = trial.value if trial.is_scored else None
    if pruned and standing is not None and standing.expected is not None:
        value = report.spec.objective.loss(standing.expected)  # its own inverse
    return LrTrial(
        trial=trial.number,
        optimizer=recipe.optimizer_name,
        schedule=recipe.schedule_name,
        lr=recipe.lr,
        at=recipe.lr * recipe_scale(recipe, report.spec.space),
        state=trial.state,
        value=value,
        standing=standing if pruned else None,
        progress=min(1.0, trial.epochs / horizon) if horizon else 1.0,
    )


def _differ(trials: Sequence[LrTrial], optimizer: str) -> bool:
    factors = [trial.at / trial.lr for trial in trials if trial.optimizer == optimizer]
    return max(factors) > ALIKE * min(factors)


def _is_equivalent(trials: Sequence[LrTrial]) -> bool:
    return any(trial.at != trial.lr for trial in trials)


def _split(
    report: Report, trials: Sequence[LrTrial], *, by_schedule: bool
) -> list[tuple[LrTrial, ...]]:
    """Trials by optimizer, or by that and schedule, in the order of the space."""
    space = report.spec.space
    groups: dict[tuple[str, str], list[LrTrial]] = {}
    for trial in trials:
        key = (trial.optimizer, trial.schedule if by_schedule else "")
        groups.setdefault(key, []).append(trial)
    places = (_places(space.optimizers), _places(space.schedules))
    last = len(places[0]) + len(places[1])
    order = sorted(
        groups, key=lambda key: tuple(p.get(k, last) for p, k in zip(places, key, strict=True))
    )
    return [tuple(groups[key]) for key in order]


def _places(names: Iterable[str]) -> Mapping[str, int]:
    return {name: place for place, name in enumerate(names)}


def _panel(report: Report, trials: tuple[LrTrial, ...], schedule: str | None) -> LrPanel:
    counted = [trial for trial in trials if trial.state != TrialState.FAILED]
    return LrPanel(
        optimizer=trials[0].optimizer,
        schedule=schedule,
        equivalent=_is_equivalent(trials),
        trials=trials,
        basin=_basin(report, trials),
        divergence=fit_divergence(
            [trial.at for trial in counted],
            [trial.state == TrialState.DIVERGED for trial in counted],
        ),
        edges=tuple(_edges(report, trials)),
    )


def _basin(report: Report, trials: Sequence[LrTrial]) -> Basin | None:
    """Of complete trials, and of pruned ones at what they would typically have reached."""
    loss = report.spec.objective.loss
    known = [(trial, loss(trial.value)) for trial in trials if trial.value is not None]
    return fit_basin(
        [trial.at for trial, _ in known],
        [value for _, value in known],
        [trial.state == TrialState.PRUNED for trial, _ in known],
    )


def _edges(report: Report, trials: Sequence[LrTrial]) -> Iterable[Edge]:
    """The searched range and the range test's window, as far as the panel's unit tells them."""
    name, space = trials[0].optimizer, report.spec.space
    equivalent = _is_equivalent(trials)
    domain = searched_lr(name, space)
    scale = scale_of({"name": name, "momentum": REFERENCE_MOMENTUM}, REFERENCE_BATCH, space)
    if domain is not None and not (equivalent and not domain.in_unit):
        own = 1.0 if equivalent or not domain.in_unit else _own_scale(report, trials[0])
        yield from (Edge(kind="range", at=end / own / scale) for end in (domain.low, domain.high))
    test = next((test.parsed for test in report.range_tests if test.optimizer == name), None)
    if test is not None and test.window is not None:
        factor = scale_of(test.optimizer, test.batch_size, space)
        factor /= 1.0 if equivalent else _own_scale(report, trials[0])
        yield from (Edge(kind="window", at=end * factor) for end in test.window)


def _own_scale(report: Report, trial: LrTrial) -> float:
    """What makes the learning rates of the panel, all at one momentum, momentum-equivalent."""
    found = report.trial(trial.trial)
    if found is None or found.parsed is None:
        return 1.0
    return recipe_scale(found.parsed, report.spec.space)
