"""Entries of `warm_start`, read and refused; widening a space never loses a trial."""

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sampler_params import encoded_params

from lrsearch.errors import SpecError
from lrsearch.recipe.recipe import Recipe
from lrsearch.space.parse import parse_space
from lrsearch.space.placeholders import space_from_placeholders
from lrsearch.spec.earlier_study import EarlierStudy
from lrsearch.spec.study_spec import StudySpec
from lrsearch.study.optuna.encoding import encode

STUDY = {"name": "a", "task": "t.py:task", "epochs": 3, "budget": {"trials": 3}}
PLAIN = {
    "optuna": "theirs",
    "map": {"lr": "adamw.lr"},
    "fixed": {"optimizer": "adamw", "schedule": "cosine"},
}


def parse(content):
    return EarlierStudy.parse(content, "warm_start[0]")


def test_a_name_is_an_lrsearch_study_with_three_recipes():
    assert parse("digits-old") == parse({"study": "digits-old", "top": 3})


def test_their_parameters_become_the_fields_of_a_recipe():
    entry = parse(
        {
            "optuna": "theirs",
            "map": {
                "opt": "optimizer",
                "lr": ["adamw.lr", "sgd.lr"],
                "mom": "sgd.momentum",
                "b1": "adamw.beta1",
                "bs": "params.batch_size",
            },
            "fixed": {"schedule": "step", "step.gamma": "1e-1", "warmup": 0.05},
        }
    )
    rest = {"schedule": {"name": "step", "gamma": 0.1}, "warmup": 0.05}
    assert entry.fields({"opt": "AdamW", "lr": 0.01, "b1": 0.8, "bs": 64}) == {
        "optimizer": {"name": "adamw", "lr": 0.01, "betas": [0.8, 0.999]},
        "params": {"batch_size": 64},
        **rest,
    }
    assert entry.fields({"opt": "SGD", "lr": 0.1, "mom": 0.9}) == {
        "optimizer": {"name": "sgd", "lr": 0.1, "momentum": 0.9},
        "params": {},
        **rest,
    }
    assert entry.fields({"opt": "Lion", "lr": 0.1}) is None
    assert entry.fields({"opt": "SGD"}) is None


def test_their_learning_rate_may_be_that_of_a_script():
    entry = parse(
        {
            "optuna": "theirs",
            "map": {"lr": "script.lr", "wd": "script.weight_decay"},
            "fixed": {"optimizer": "script", "schedule": "script"},
        }
    )
    fields = entry.fields({"lr": 0.01, "wd": 0.1})
    assert fields == {
        "optimizer": {"name": "script", "lr": 0.01, "weight_decay": 0.1},
        "schedule": {"name": "script"},
        "warmup": 0.0,
        "params": {},
    }
    space = space_from_placeholders(
        ["optimizer.lr", "optimizer.weight_decay"],
        {"optimizers": {"script": {"weight_decay": [0.0, 0.1]}}},
    )
    recipe = Recipe.from_dict({**fields, "epochs": 3}).to_dict()
    assert encode(space, recipe, {}).params == {
        "optimizer": "script",
        "schedule": "script",
        "script.lr": 0.01,
        "script.weight_decay": 0.1,
    }
    with pytest.raises(SpecError, match="'gamma' is not a field of script"):
        parse({**PLAIN, "map": {"lr": "adamw.lr", "g": "script.gamma"}})


def test_an_entry_comes_back_from_the_database_as_it_was():
    spec = StudySpec.from_dict({**STUDY, "warm_start": ["old", "2024", PLAIN]})
    assert StudySpec.from_stored(spec.to_dict()) == spec
    assert [entry.title for entry in spec.warm_start] == ["old", "2024", "theirs"]
    plain = StudySpec.from_dict(STUDY)
    assert plain.differences(spec)[0].startswith("warm_start: [] -> ")
    assert plain.obstacles(spec) == []


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (3, "warm_start[0] = 3, but a study's name or a mapping is accepted"),
        ({}, "warm_start[0]: name one study: `study` for lrsearch's, `optuna` for a plain one"),
        ({**PLAIN, "study": "b"}, "warm_start[0]: name one study: "),
        ({"study": "b", "map": {"lr": "adamw.lr"}}, "`map` is for a plain Optuna study"),
        ({"study": "b", "top": -1}, "warm_start[0]: top = -1: "),
        ({"study": "b", "tpo": 1}, "tpo is not a field of an entry of warm_start; did you mean"),
        ({**PLAIN, "failed": "yes"}, "failed = 'yes': ignore or diverged is accepted"),
        ({**PLAIN, "storage": "postgresql://a:b@c/d"}, "storage must not hold a password"),
        ({**PLAIN, "storage": "postgresql://c/d?password=b"}, "storage must not hold a password"),
        ({**PLAIN, "map": 3}, "map = 3: a mapping"),
        (
            {**PLAIN, "map": {"lr": "adamw.lrr"}},
            "map.lr names 'adamw.lrr', but 'lrr' is not a field of adamw; did you mean 'lr'?",
        ),
        (
            {**PLAIN, "map": {"lr": "admw.lr"}},
            "map.lr names 'admw.lr', which is no place of a recipe; did you mean 'adamw'?",
        ),
        ({**PLAIN, "map": {"lr": "lr"}}, "accepted: optimizer, schedule, warmup, OPTIMIZER.FIELD"),
        (
            {**PLAIN, "map": {"lr": "adamw.lr", "g": "step.gama"}},
            "map.g names 'step.gama', but 'gama' is not a field of step; did you mean 'gamma'?",
        ),
        ({**PLAIN, "fixed": {"schedule": "cosine"}}, "neither map nor fixed gives the optimizer"),
        ({**PLAIN, "fixed": {"optimizer": "adamw"}}, "neither map nor fixed gives the schedule"),
        (
            {**PLAIN, "fixed": {"optimizer": "admw", "schedule": "cosine"}},
            "fixed.optimizer = 'admw' is not an optimizer; did you mean 'adamw'?",
        ),
        (
            {**PLAIN, "fixed": {"optimizer": "adamw", "schedule": "cosin"}},
            "fixed.schedule = 'cosin'; did you mean 'cosine'?",
        ),
        (
            {**PLAIN, "fixed": {"optimizer": "sgd", "schedule": "cosine"}},
            "neither map nor fixed gives sgd.lr",
        ),
        (
            {**PLAIN, "map": {"o": "optimizer"}, "fixed": {"schedule": "cosine"}},
            "neither map nor fixed gives an lr",
        ),
        (
            {**PLAIN, "fixed": {**PLAIN["fixed"], "adamw.lr": 0.1}},
            "adamw.lr is both mapped and fixed; leave one out",
        ),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else "",
)
def test_a_wrong_entry_is_one_line(content, line):
    with pytest.raises(SpecError) as error:
        parse(content)
    assert str(error.value).startswith("warm_start[0]")
    assert line in str(error.value)


@pytest.mark.parametrize(
    ("entries", "line"),
    [
        ("old", "warm_start = 'old': a list of studies is accepted"),
        (["a"], "warm_start[0] = 'a', which is this study itself"),
        (["b", "b"], "warm_start[1] names 'b' a second time"),
        (["b", {"optuna": "c"}], "warm_start[1]: neither map nor fixed"),
    ],
)
def test_a_wrong_list_is_one_line(entries, line):
    with pytest.raises(SpecError) as error:
        StudySpec.from_dict({**STUDY, "warm_start": entries}, where="s.yaml")
    assert str(error.value).startswith(f"s.yaml: {line}")


# Widening


def ranges(low, high):
    """A range over (low, high) on a log scale, and one that holds it."""
    inside = st.tuples(st.floats(low, high), st.floats(low, high)).map(sorted)
    return inside.flatmap(
        lambda pair: st.tuples(
            st.just({"low": pair[0], "high": pair[1], "log": True}),
            st.builds(
                lambda down, up: {"low": pair[0] * down, "high": pair[1] * up, "log": True},
                st.floats(0.1, 1.0),
                st.floats(1.0, 5.0),
            ),
        )
    )


@st.composite
def widenings(draw):
    """A space, and one that contains it."""
    sgd_lr, adam_lr, decay = draw(ranges(1e-5, 0.5)), draw(ranges(1e-6, 0.5)), draw(ranges(1e-7, 1))
    momentum = draw(
        st.sampled_from([0.0, 0.9, {"choices": [0.0, 0.9]}, {"low": 0.0, "high": 0.95}])
    )
    spaces = []
    for wide in (0, 1):
        spaces.append(
            {
                "optimizers": {
                    "sgd": {
                        "lr": sgd_lr[wide],
                        "momentum": {"low": 0.0, "high": 0.99} if wide else momentum,
                        "nesterov": [True, False],
                        "weight_decay": decay[wide],
                    },
                    "adamw": {"lr": adam_lr[wide], "beta1": [0.9, 0.95, 0.8][: 1 + 2 * wide]},
                    **({"rmsprop": {}, "adagrad": {}} if wide else {}),
                },
                "schedules": {
                    "step": {
                        "gamma": {"low": 0.01, "high": 0.9} if wide else {"choices": [0.1, 0.5]}
                    },
                    "cosine": {},
                    **({"linear": {}, "exponential": {}} if wide else {}),
                },
                "warmup": {"low": 0.0, "high": 0.2} if wide else [0.0, 0.05],
                "params": {
                    "batch_size": [16, 32, 64][: 2 + wide],
                    **({"dropout": {"low": 0.0, "high": 0.5}} if wide else {}),
                },
            }
        )
    return spaces


@given(widenings(), st.integers(0, 2**31))
def test_widening_never_loses_a_trial(spaces, seed):
    old, new = (parse_space(space) for space in spaces)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    for _ in range(3):
        recipe = old.suggest(study.ask())
        encoding = encode(new, recipe, {"dropout": 0.1})
        assert encoding is not None
        assert encoded_params(encoding) == new.params_of(
            {**recipe, "params": {**recipe["params"], "dropout": 0.1}}
        )
        for name, distribution in encoding.distributions.items():
            assert distribution._contains(distribution.to_internal_repr(encoding.params[name]))
