"""How value depends on the learning rate, optimizer by optimizer: plain values, nothing drawn."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from lrsearch.advice.divergence_curve import DivergenceCurve, fit_divergence
from lrsearch.advice.lr_basin import Basin, Safe, fit_basin
from lrsearch.advice.lr_edges import recipe_scale, scale_of, searched_lr
from lrsearch.report.figures.data.lr_trials import LrTrial
from lrsearch.report.model import Report
from lrsearch.space.sampling_units import REFERENCE_BATCH, REFERENCE_MOMENTUM
from lrsearch.trial.states import TrialState

#: Complete trials below which no learning rate is called safe: what pruned ones would have reached
#: is a guess.
LEAST_COMPLETE = 5


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

    @property
    def diverges(self) -> bool:
        """Whether a trial diverged, so that how often they do depends on the learning rate."""
        return self.divergence is not None and self.count(TrialState.DIVERGED) > 0

    def count(self, state: TrialState) -> int:
        return sum(trial.state == state for trial in self.trials)


@dataclass(frozen=True, kw_only=True)
class NearBest:
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
    trials = report.lr_trials
    return tuple(_panel(report, mine, None) for mine in _split(report, trials, by_schedule=False))


@dataclass(frozen=True, kw_only=True)
class SchedulePanels:
    """Pairs of optimizer and schedule."""

    panels: tuple[LrPanel, ...]
    #: Pairs that were left out.
    left_out: int


def schedule_panels(report: Report, *, least: int, most: int) -> SchedulePanels:
    """Those that at least so many ended trials have, and at most so many, with the most trials."""
    found = _split(report, report.lr_trials, by_schedule=True)
    enough = [mine for mine in found if len(mine) >= least]
    limit = sorted(map(len, enough), reverse=True)[:most][-1:]
    kept = [mine for mine in enough if len(mine) >= limit[0]][:most]
    return SchedulePanels(
        panels=tuple(_panel(report, mine, mine[0].schedule) for mine in kept),
        left_out=len(found) - len(kept),
    )


def rates_near_best(report: Report, least: int = 0) -> NearBest | None:
    """Around the best learning rate of the recommended recipe's optimizer and schedule.

    Where too few trials have its schedule, all of its optimizer tell. None where these are too few,
    fewer than `least`, LEAST_COMPLETE complete ones or as many as a basin takes, or no recipe is
    recommended.
    """
    recipe = report.recommended
    if recipe is None:
        return None
    name, schedule = recipe.optimizer_name, recipe.schedule_name
    mine = [trial for trial in report.lr_trials if trial.optimizer == name]
    narrow = [trial for trial in mine if trial.schedule == schedule]
    for trials, told in ((narrow, schedule), (mine, None)):
        complete = sum(trial.state == TrialState.COMPLETE for trial in trials)
        enough = complete >= LEAST_COMPLETE and len(trials) >= least
        basin = _basin(report, trials) if enough else None
        if basin is not None:
            scale = recipe_scale(recipe, report.spec.space) if _is_equivalent(trials) else 1.0
            small, large = (_rescaled(safe, 1 / scale) for safe in basin.safe)
            return NearBest(
                optimizer=name, schedule=told, trials=basin.trials, small=small, large=large
            )
    return None


def _rescaled(safe: Safe, factor: float) -> Safe:
    return replace(safe, low=safe.low * factor, high=safe.high * factor)


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
