"""Optuna's TPE, told where a range test found learning rates that train."""

import random
from collections.abc import Container, Mapping, Sequence
from typing import Any, Literal

import optuna
from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.samplers import BaseSampler, TPESampler
from optuna.storages import InMemoryStorage
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial, TrialState

from lrsearch.plain_data import Fields

#: Share of the trials that a window confines; the rest are drawn below the window, as insurance
#: against a range test that was wrong. Above it lies what is unstable.
INSIDE_SHARE = 0.9

#: Parameter name (`sgd.lr`) to the lowest and highest value, in the sampler's unit.
Windows = Mapping[str, tuple[float, float]]


class WindowedTPESampler(TPESampler):
    """TPE that draws each windowed parameter inside its window nine times of ten, else below.

    Only the draw is confined: the distribution that the study stores stays the whole range, so
    that trials before and after the range test are one and the same space.
    """

    def __init__(self, *, seed: int, windows: Windows) -> None:
        super().__init__(seed=seed)
        self._draw = random.Random(seed)
        self._windows = windows

    def _confined(self, name: str, distribution: BaseDistribution) -> BaseDistribution:
        if name not in self._windows or not isinstance(distribution, FloatDistribution):
            return distribution
        low, high = self._windows[name]
        low, high = max(low, distribution.low), min(high, distribution.high)
        if low >= high:
            return distribution  # the user's range and the window do not meet
        if self._draw.random() < INSIDE_SHARE:
            return _between(distribution, low, high)
        if distribution.low < low:
            return _between(distribution, distribution.low, low)
        return _between(distribution, low, high)

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        space = super().infer_relative_search_space(study, trial)
        return {name: self._confined(name, distribution) for name, distribution in space.items()}

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        confined = self._confined(param_name, param_distribution)
        return super().sample_independent(study, trial, param_name, confined)


def _between(distribution: FloatDistribution, low: float, high: float) -> FloatDistribution:
    return FloatDistribution(low, high, log=distribution.log)


class _OneNewTrial(InMemoryStorage):
    """A study of one new trial and of those that it is given, which are not copied."""

    def __init__(self, history: Sequence[FrozenTrial]) -> None:
        super().__init__()
        self._history = history

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        own = super().get_all_trials(study_id, deepcopy, states)
        return [t for t in self._history if states is None or t.state in states] + own


def new_trial(
    history: Sequence[FrozenTrial],
    sampler: BaseSampler,
    *,
    direction: Literal["minimize", "maximize"],
    fixed: Fields | None,
) -> Trial:
    """A trial to draw parameters from, in memory alone; those that are `fixed` are not drawn.

    It has the number 0, so those of the `history` start at 1; TPE orders by them only.
    """
    storage = _OneNewTrial(history)
    study = optuna.create_study(storage=storage, sampler=sampler, direction=direction)
    if fixed is not None:
        study.enqueue_trial(dict(fixed))
        return study.ask()
    study_id = storage.get_study_id_from_name(study.study_name)
    return Trial(study, storage.create_new_trial(study_id))
