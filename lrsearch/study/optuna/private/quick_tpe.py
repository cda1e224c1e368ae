"""Optuna's TPE with one pass over the history per trial; the draws are the same to the last bit.

`TPESampler` sorts the whole history into good and bad trials for each parameter anew, and asks each
trial of it a dozen questions: with 1,000 trials that is 27 ms of 31 that a trial's parameters take.
Here the two groups are made once, from arrays of the numbers that a view's trials bring along.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.samplers import TPESampler
from optuna.samplers._tpe.parzen_estimator import _ParzenEstimator
from optuna.samplers._tpe.sampler import default_gamma
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from lrsearch.study.optuna.private.quick_numbers import Kernels, draw
from lrsearch.study.optuna.private.seen_arrays import Floats, Rows, SeenArrays
from lrsearch.study.optuna.sampler import WindowedTPESampler, new_trial
from lrsearch.study.optuna.seen_trial import SeenTrial

#: Trials of the history on which the quick sampler is tried. Of these 12 have ended: TPE draws at
#: random before it has 10.
STARTUP = 16
CHOICES = ("a", "b")


@dataclass(frozen=True, kw_only=True)
class Groups:
    """The history of one draw, sorted once."""

    #: Of the trial that is being drawn.
    trial_id: int
    arrays: SeenArrays
    #: How many of its trials have ended.
    ended: int
    good: Rows
    bad: Rows


class QuickTPESampler(TPESampler):
    """`TPESampler` of one objective, for a history of a view's that stays while a trial is drawn.

    Of any other history it draws as `TPESampler` does.
    """

    _groups: Groups | None = None

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        self._groups = None if self._group else _sorted_once(study, trial)
        if self._groups is None:
            return super().infer_relative_search_space(study, trial)
        space = self._groups.arrays.common_space()
        return {name: space[name] for name in sorted(space) if not space[name].single()}

    def _sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        if not search_space or not self._learns_for(trial):
            return super()._sample_relative(study, trial, search_space)
        return self._sample(study, trial, search_space)

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        if not self._learns_for(trial):
            return super().sample_independent(study, trial, param_name, param_distribution)
        return self._sample(study, trial, {param_name: param_distribution})[param_name]

    def _learns_for(self, trial: FrozenTrial) -> bool:
        """Whether the history has been sorted for this trial, and is long enough to learn from."""
        groups = self._groups
        return (
            groups is not None
            and groups.trial_id == trial._trial_id
            and groups.ended >= self._n_startup_trials
        )

    def _sample(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        groups = self._groups
        if groups is None or groups.trial_id != trial._trial_id:
            return super()._sample(study, trial, search_space)
        good, bad = (
            self._estimator(groups.arrays.observations(list(search_space), rows), search_space)
            for rows in (groups.good, groups.bad)
        )
        kernels = Kernels.of(good), Kernels.of(bad)
        if kernels[0] is not None and kernels[1] is not None:
            ((name, distribution),) = search_space.items()
            number = draw(kernels[0], kernels[1], self._rng.rng, self._n_ei_candidates)
            return {name: distribution.to_external_repr(number)}
        samples = good.sample(self._rng.rng, self._n_ei_candidates)
        gains = self._compute_acquisition_func(samples, good, bad)
        found = self._compare(samples, gains)
        return {name: d.to_external_repr(found[name]) for name, d in search_space.items()}

    def _estimator(
        self, observations: dict[str, Floats], search_space: dict[str, BaseDistribution]
    ) -> _ParzenEstimator:
        parameters = self._parzen_estimator_parameters
        weights = _weights(parameters.weights, len(next(iter(observations.values()))))
        return _ParzenEstimator(observations, search_space, parameters, weights)

    def _compute_acquisition_func(
        self,
        samples: dict[str, Floats],
        mpe_below: _ParzenEstimator,
        mpe_above: _ParzenEstimator,
    ) -> Floats:
        """Of equal samples once: those of a choice are of few kinds."""
        if len(samples) > 1:
            return super()._compute_acquisition_func(samples, mpe_below, mpe_above)
        ((name, values),) = samples.items()
        kinds, where = np.unique(values, return_inverse=True)
        return super()._compute_acquisition_func({name: kinds}, mpe_below, mpe_above)[where]


@lru_cache(maxsize=128)
def _weights(weigh: Callable[[int], Floats], count: int) -> Floats:
    """Of so many observations, the oldest first; whoever gets them copies them."""
    return _ParzenEstimator._call_weights_func(weigh, count)


def _sorted_once(study: Study, trial: FrozenTrial) -> Groups | None:
    """The history of a trial; None if a view has not read all of it."""
    states = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING)
    trials = study._get_trials(deepcopy=False, states=states)
    seen = [other for other in trials if type(other) is SeenTrial]
    if len(seen) < len(trials) - 1:  # the trial itself is among them
        return None
    arrays = SeenArrays(seen)
    minimize = study.direction == StudyDirection.MINIMIZE
    good, bad = arrays.split(default_gamma(arrays.ended), minimize=minimize)
    return Groups(trial_id=trial._trial_id, arrays=arrays, ended=arrays.ended, good=good, bad=bad)


class QuickWindowedTPESampler(WindowedTPESampler, QuickTPESampler):
    """`WindowedTPESampler` that draws the quick way."""


def draws_alike() -> bool:
    """Whether the quick sampler draws what Optuna's own draws, tried on a small history."""
    history = [_seen(number) for number in range(STARTUP)]
    return all(
        _drawn(TPESampler(seed=seed), history) == _drawn(QuickTPESampler(seed=seed), history)
        for seed in range(3)
    )


def _drawn(sampler: TPESampler, history: Sequence[SeenTrial]) -> tuple[float, str, float]:
    trial = new_trial(history, sampler, direction="minimize", fixed=None)
    return (
        trial.suggest_float("x", 1e-3, 1.0, log=True),
        trial.suggest_categorical("choice", CHOICES),
        trial.suggest_float("new", 0.0, 1.0),
    )


def _seen(number: int) -> SeenTrial:
    """A trial of the small history: complete, pruned, infeasible or running in turn."""
    kind = number % 4
    states = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.PRUNED, TrialState.RUNNING)
    trial = SeenTrial(
        optuna_id=1 + number,
        optuna_number=number,
        state=states[kind],
        value=1 / (1 + number) if kind == 0 else None,
        reports={1: 0.5 + number} if kind == 1 else {},
        violation=2.0 if kind == 2 else 0.0,
    )
    trial.add("x", 1 / (1 + number), FloatDistribution(1e-3, 1.0, log=True))
    trial.add("choice", number % 2, CategoricalDistribution(CHOICES))
    return trial
