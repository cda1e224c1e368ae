"""Ray Tune's and Syne Tune's ASHA as contenders, where they are installed.

Their own schedulers decide, called in this process without a cluster: random recipes of the plain
user's space, rungs from the first epoch on, every other setting as it comes. The best trial by its
own number is what they recommend, as in their tutorials.
"""

import importlib.util
import math
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from types import SimpleNamespace
from typing import Any

import optuna
from duel_methods import Found, Tuner, by_own_number, search_with
from duel_training import Problem

from lrsearch import StudySpec
from lrsearch.space.search_space import SearchSpace

#: Syne Tune ranks losses and knows no NaN.
DIVERGED_LOSS = 1e9
#: Contenders to the module that must be there, and what installs it.
RIVALS = {"ray": ("ray", "ray[tune]"), "syne": ("syne_tune", "syne-tune")}


def absent(name: str) -> str:
    """Why a contender cannot take part; empty if it can."""
    module, package = RIVALS.get(name, ("lrsearch", ""))
    return "" if importlib.util.find_spec(module) is not None else f"pip install {package}"


def _random_fields(space: SearchSpace, seed: int) -> dict[str, Any]:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    return space.suggest(study.ask())


class _Ray:
    """Ray Tune's ASHAScheduler over random recipes."""

    def __init__(self, space: SearchSpace, seed: int, epochs: int) -> None:
        from ray.tune.schedulers import ASHAScheduler

        self._scheduler = ASHAScheduler(metric="loss", mode="min", max_t=epochs)
        self._space, self._seed = space, seed
        self._number = -1

    def ask(self) -> dict[str, Any]:
        self._number += 1
        #: Of a trial its scheduler reads this alone.
        self._trial = SimpleNamespace(trial_id=str(self._number))
        self._scheduler.on_trial_add(None, self._trial)
        return _random_fields(self._space, self._seed * 1_000_003 + self._number)

    def goes_on(self, validation: int, loss: float) -> bool:
        result = {"training_iteration": validation, "loss": loss}
        return bool(self._scheduler.on_trial_result(None, self._trial, result) == "CONTINUE")

    def tell(self, value: float, *, complete: bool) -> None:
        self._scheduler.on_trial_remove(None, self._trial)


class _Syne:
    """Syne Tune's ASHA; what it draws is the seed of a random recipe."""

    def __init__(self, space: SearchSpace, seed: int, epochs: int) -> None:
        from syne_tune.backend.trial_status import Trial
        from syne_tune.config_space import randint
        from syne_tune.optimizer.baselines import ASHA

        self._scheduler = ASHA(
            {"draw": randint(0, 2**31 - 1)},
            metric="loss",
            time_attr="epoch",
            max_t=epochs,
            random_seed=seed,
        )
        self._space, self._trial_class, self._number = space, Trial, -1

    def ask(self) -> dict[str, Any]:
        self._number += 1
        config = self._scheduler.suggest().config
        self._trial = self._trial_class(self._number, config, datetime.now())
        self._scheduler.on_trial_add(self._trial)
        return _random_fields(self._space, config["draw"])

    def goes_on(self, validation: int, loss: float) -> bool:
        result = {"epoch": validation, "loss": loss if math.isfinite(loss) else DIVERGED_LOSS}
        return bool(self._scheduler.on_trial_result(self._trial, result) == "CONTINUE")

    def tell(self, value: float, *, complete: bool) -> None:
        self._scheduler.on_trial_remove(self._trial)


def ray_asha(problem: Problem, seeds: Sequence[int], budgets: Sequence[int]) -> Iterator[Found]:
    yield from _asha("ray", _Ray, problem, seeds, budgets)


def syne_asha(problem: Problem, seeds: Sequence[int], budgets: Sequence[int]) -> Iterator[Found]:
    yield from _asha("syne", _Syne, problem, seeds, budgets)


def _asha(
    name: str,
    tuner: Callable[[SearchSpace, int, int], Tuner],
    problem: Problem,
    seeds: Sequence[int],
    budgets: Sequence[int],
) -> Iterator[Found]:
    def of(spec: StudySpec, seed: int) -> Tuner:
        return tuner(spec.space, seed, problem.epochs)

    for search in search_with(problem, of, seeds, max(budgets)):
        yield from by_own_number(name, search, budgets)
