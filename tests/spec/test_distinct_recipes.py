"""The recipes of a discrete space are counted exactly: against brute force by random draws."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_studies import tiny_spec

from lrsearch.recipe.fingerprint import fingerprint
from lrsearch.space.distinct import every
from lrsearch.spec.distinct_recipes import distinct_recipes
from lrsearch.spec.sample_recipes import RandomTrial

CONSTANT = {"constant": {}}


def two(*values):
    return {"choices": list(values)}


def spec_of(**space):
    return tiny_spec(space={"warmup": 0.0, **space}, baseline=None, enqueue=[])


@pytest.mark.parametrize(
    ("space", "count"),
    [
        ({"optimizers": {"sgd": {"lr": 0.1, "momentum": 0.9, "nesterov": False}}}, 1),
        ({"optimizers": {"sgd": {"lr": two(0.1, 0.2), "momentum": 0.9, "nesterov": False}}}, 2),
        # nesterov is off where there is no momentum: 1 + 2
        (
            {
                "optimizers": {
                    "sgd": {"lr": 0.1, "momentum": two(0, 0.9), "nesterov": [True, False]}
                }
            },
            3,
        ),
        # fields belong to their optimizer and schedule: (3 + 2) x (1 + 2)
        (
            {
                "optimizers": {
                    "sgd": {"lr": [0.1, 0.2, 0.3], "momentum": 0.9, "nesterov": False},
                    "adam": {"lr": two(0.1, 0.2), "betas": [0.9, 0.99]},
                },
                "schedules": {"constant": {}, "step": {"step_size": 0.5, "gamma": two(0.1, 0.3)}},
            },
            15,
        ),
        ({"optimizers": {"rmsprop": {"lr": {"low": 0.1, "high": 0.5, "step": 0.1}}}}, None),
        (
            {
                "optimizers": {
                    "adagrad": {
                        "lr": {"low": 0.1, "high": 0.5, "step": 0.1},
                        "weight_decay": 0.0,
                    }
                }
            },
            5,
        ),
        ({"optimizers": {"sgd": {"lr": {"low": 0.1, "high": 0.2}}}}, None),
        # a schedule without warm-up has it once: 2 + 1
        (
            {
                "optimizers": {"sgd": {"lr": 0.1, "momentum": 0.9, "nesterov": False}},
                "schedules": {"constant": {}, "plateau": {"factor": 0.1, "patience": 0.1}},
                "warmup": two(0.0, 0.1),
            },
            3,
        ),
    ],
)
def test_a_space_has_so_many_recipes(space, count):
    optimizers = {
        name: {"weight_decay": 0.0, **fields} for name, fields in space["optimizers"].items()
    }
    found = distinct_recipes(spec_of(**{"schedules": CONSTANT, **space, "optimizers": optimizers}))
    assert (None if found is None else len(found)) == count


counts = st.integers(1, 2)


@settings(max_examples=20)
@given(lrs=counts, momenta=st.sampled_from([[0.9], [0, 0.9], [0, 0.5, 0.9]]), gammas=counts)
def test_random_draws_find_no_other_and_in_the_end_all(lrs, momenta, gammas):
    finals = [0.1, 0.01]
    spec = spec_of(
        optimizers={
            "sgd": {
                "lr": two(*(0.1 * (i + 1) for i in range(lrs))),
                "momentum": two(*momenta),
                "nesterov": [True, False],
                "weight_decay": 0.0,
            }
        },
        schedules={
            "constant": {},
            "exponential": {"final": two(*finals[:gammas])},
        },
    )
    drawn = {
        fingerprint(spec.recipe(spec.space.suggest(RandomTrial(i, {})), batch_size=None).to_dict())
        for i in range(600)
    }
    assert set(distinct_recipes(spec)) == drawn


def test_a_space_beyond_the_limit_is_not_listed():
    spec = spec_of(
        optimizers={"adagrad": {"lr": {"low": 0.1, "high": 0.9, "step": 0.1}, "weight_decay": 0.0}},
        schedules=CONSTANT,
    )
    assert len(every(spec.space, most=9)) == 9
    assert every(spec.space, most=8) is None
