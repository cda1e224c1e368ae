"""Trials as a study's sampler knows them: a recipe in its own space's parameters."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.trial import FixedTrial, FrozenTrial, create_trial
from optuna.trial import TrialState as OptunaState

from lrsearch.space.search_space import SearchSpace
from lrsearch.spec.parts import Objective

#: What Optuna gets as the value of a diverged trial whose objective has no natural bad value; the
#: constraint is what the sampler goes by.
WORST_VALUE = 1e3
#: Optuna's attribute that a constraint's value is kept under, by the constraint's name.
CONSTRAINT = "constraints"
#: System attribute that says how far beyond the stable a trial was; above 0, it is infeasible.
VIOLATION = f"{CONSTRAINT}:diverged"
#: Violation of a trial that diverged at its start; it falls to 1 for one that diverges at its end.
START_VIOLATION = 2.0
#: User attributes of a trial that another study ran: where it is from, and its recipe here.
FROM_ATTRIBUTE, RECIPE_ATTRIBUTE = "lrsearch:from", "lrsearch:recipe"


@dataclass(frozen=True, kw_only=True)
class Encoding:
    """A recipe in the sampler's parameters; none for one that lies outside the space."""

    params: Mapping[str, Any]
    distributions: Mapping[str, BaseDistribution]


OUTSIDE = Encoding(params={}, distributions={})


def encode(
    space: SearchSpace, recipe: Mapping[str, Any], defaults: Mapping[str, Any]
) -> Encoding | None:
    """The recipe as `space` would have sampled it, or None if it lies outside.

    `defaults` are what the task takes for params that the recipe does not give.
    """
    # A param that the space has no more is the task's default in every new trial.
    gone = {
        key: value
        for key, value in recipe["params"].items()
        if key not in space.params and key in defaults and defaults[key] == value
    }
    searched = {key: value for key, value in defaults.items() if key in space.params}
    own = {key: value for key, value in recipe["params"].items() if key not in gone}
    params = space.params_of({**recipe, "params": {**searched, **own}})
    if params is None:
        return None
    trial = FixedTrial(params)
    accumulate = recipe.get("accumulate", 1)
    space.suggest(trial, lambda params: recipe.get("batch_size"), accumulate=accumulate)
    return Encoding(params=trial.params, distributions=trial.distributions)


def worst(objective: Objective) -> float:
    """A value worse than any that a trial reaches."""
    return WORST_VALUE if objective.direction == "minimize" else -WORST_VALUE


def retold(theirs: FrozenTrial, encoding: Encoding, attributes: Mapping[str, Any]) -> FrozenTrial:
    """An ended trial of one study for another: the same but for its parameters."""
    trial = create_trial(
        state=theirs.state,
        value=theirs.value,
        params=dict(encoding.params),
        distributions=dict(encoding.distributions),
        user_attrs=dict(attributes),
        system_attrs={k: v for k, v in theirs.system_attrs.items() if k.startswith(CONSTRAINT)},
        intermediate_values=theirs.intermediate_values,
    )
    trial.datetime_start = theirs.datetime_start
    trial.datetime_complete = theirs.datetime_complete
    return trial


def complete(value: float, encoding: Encoding, attributes: Mapping[str, Any]) -> FrozenTrial:
    """A trial that ended with this value."""
    return _feasible(encoding, attributes, 0.0, state=OptunaState.COMPLETE, value=value)


def diverged(bad: float, encoding: Encoding, attributes: Mapping[str, Any]) -> FrozenTrial:
    """A trial that diverged, told as ours are: infeasible, pruned, with a finite bad value."""
    return _feasible(
        encoding,
        attributes,
        START_VIOLATION,
        state=OptunaState.PRUNED,
        intermediate_values={1: bad},
    )


def _feasible(
    encoding: Encoding, attributes: Mapping[str, Any], violation: float, **fields: Any
) -> FrozenTrial:
    return create_trial(
        params=dict(encoding.params),
        distributions=dict(encoding.distributions),
        user_attrs=dict(attributes),
        system_attrs={VIOLATION: violation},
        **fields,
    )
