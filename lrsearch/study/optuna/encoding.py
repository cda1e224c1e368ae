"""Recipes and trials of other studies as parameters of this study's space."""

from optuna.trial import FixedTrial, FrozenTrial, create_trial
from optuna.trial import TrialState as OptunaState

from lrsearch.plain_data import Fields
from lrsearch.space.search_space import SearchSpace
from lrsearch.spec.parts import Objective
from lrsearch.study.optuna.attributes import CONSTRAINTS, START_VIOLATION
from lrsearch.study.optuna.sampler_units import Encoding, stored

#: What Optuna gets as the value of a diverged trial whose objective has no natural bad value; the
#: constraint is what the sampler goes by.
WORST_VALUE = 1e3


def encode(space: SearchSpace, recipe: Fields, defaults: Fields) -> Encoding | None:
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
    return stored(space, recipe, trial.params, trial.distributions)


def worst(objective: Objective) -> float:
    """A value worse than any that a trial reaches."""
    return WORST_VALUE if objective.direction == "minimize" else -WORST_VALUE


def retold(theirs: FrozenTrial, encoding: Encoding, attributes: Fields) -> FrozenTrial:
    """An ended trial of one study for another: the same but for its parameters."""
    constraints = {k: v for k, v in theirs.system_attrs.items() if k.startswith(CONSTRAINTS)}
    trial = create_trial(
        state=theirs.state,
        value=theirs.value,
        params=dict(encoding.params),
        distributions=dict(encoding.distributions),
        user_attrs=dict(attributes),
        system_attrs={**constraints, **encoding.attributes()},
        intermediate_values=theirs.intermediate_values,
    )
    trial.datetime_start = theirs.datetime_start
    trial.datetime_complete = theirs.datetime_complete
    return trial


def complete(value: float, encoding: Encoding, attributes: Fields) -> FrozenTrial:
    """A trial that ended with this value."""
    return create_trial(
        state=OptunaState.COMPLETE,
        value=value,
        params=dict(encoding.params),
        distributions=dict(encoding.distributions),
        user_attrs=dict(attributes),
        system_attrs={CONSTRAINTS: [0.0], **encoding.attributes()},
    )


def diverged(bad: float, encoding: Encoding, attributes: Fields) -> FrozenTrial:
    """A trial that diverged, told as ours are: infeasible, pruned, with a finite bad value."""
    return create_trial(
        state=OptunaState.PRUNED,
        params=dict(encoding.params),
        distributions=dict(encoding.distributions),
        user_attrs=dict(attributes),
        system_attrs={CONSTRAINTS: [START_VIOLATION], **encoding.attributes()},
        intermediate_values={1: bad},
    )
