"""Parameter groups of a space: how a study file writes them, and what is sampled."""

import json

import optuna
import pytest
from drawn import DrawnTrial
from hypothesis import given
from hypothesis import strategies as st

from lrsearch.catalog.domains import Choice, Fixed, Range
from lrsearch.errors import SpecError
from lrsearch.recipe.recipe import Recipe
from lrsearch.space.groups import SpaceGroup, middle_groups
from lrsearch.space.parse import parse_space
from lrsearch.space.search_space import SearchSpace
from lrsearch.spec.study_spec import StudySpec

LOG = {"low": 1e-3, "high": 1.0, "log": True}
SEARCHED = {
    "optimizers": {"adamw": {}, "sgd": {}},
    "groups": [
        {"match": r"layers\.(\d+)\.", "layer_decay": [0.7, 0.8, 1.0]},
        {"match": ["^backbone", "^stem"], "name": "trunk", "lr_scale": LOG, "weight_decay": 0},
        {"kind": ["norm", "bias"], "weight_decay": {"low": 0, "high": 1}},
    ],
}
SPACE = parse_space(SEARCHED)


def spec_of(**fields):
    base = {"name": "s", "task": "t.py:task", "epochs": 2, "budget": {"trials": 3}}
    return StudySpec.from_dict({**base, **fields})


def test_a_space_without_groups_is_written_as_before_there_were_any():
    space = parse_space("default")
    assert space.groups is None
    assert "groups" not in space.to_dict()


def test_a_rule_is_read_with_its_domains():
    layers, trunk, kinds = SPACE.groups
    assert layers.fields == {"layer_decay": Choice(choices=(0.7, 0.8, 1.0))}
    assert trunk.fields == {
        "lr_scale": Range(low=1e-3, high=1.0, log=True),
        "weight_decay": Fixed(value=0),
    }
    assert kinds.fields["weight_decay"] == Range(low=0, high=1)  # no whole numbers


def test_the_short_forms_are_factors_of_lr_by_expression():
    content = {"backbone": 0.1, "neck": LOG, "stem": [0.1, 1.0], "head": {"weight_decay": 0}}
    assert parse_space({"groups": content}).groups == (
        SpaceGroup(about={"match": "backbone"}, fields={"lr_scale": Fixed(value=0.1)}),
        SpaceGroup(
            about={"match": "neck"}, fields={"lr_scale": Range(low=1e-3, high=1.0, log=True)}
        ),
        SpaceGroup(about={"match": "stem"}, fields={"lr_scale": Choice(choices=(0.1, 1.0))}),
        SpaceGroup(about={"match": "head"}, fields={"weight_decay": Fixed(value=0)}),
    )


@given(data=st.data())
def test_what_is_sampled_is_a_recipe_of_the_space(data):
    trial = DrawnTrial(data)
    fields = SPACE.suggest(trial)
    recipe = Recipe.from_dict({**fields, "epochs": 3})
    assert {name for name in trial.params if name.startswith("groups")} == {
        "groups.layers.layer_decay",
        "groups.trunk.lr_scale",
        "groups.norm_bias.weight_decay",
    }
    assert SPACE.params_of(recipe.to_dict()) == pytest.approx(
        {k: json.dumps(v) if isinstance(v, tuple) else v for k, v in trial.params.items()}
    )
    assert recipe.groups[1]["match"] == ["^backbone", "^stem"]


def test_a_space_with_groups_is_stored_and_read():
    stored = json.loads(json.dumps(SPACE.to_dict()))
    assert SearchSpace.from_dict(stored) == SPACE
    own = parse_space({"groups": "task"})
    assert SearchSpace.from_dict(json.loads(json.dumps(own.to_dict()))) == own


def test_optuna_samples_them_under_these_names():
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    drawn = [SPACE.suggest(study.ask()) for _ in range(5)]
    assert len({fields["groups"][1]["lr_scale"] for fields in drawn}) == 5


@pytest.mark.parametrize(
    ("groups", "inside"),
    [
        (None, False),  # lr_scale of the trunk may not be 1, its weight decay is 0
        ([], False),
        ("other", False),
    ],
)
def test_a_recipe_with_other_groups_is_outside(groups, inside):
    recipe = SPACE.suggest(DrawnTrialOf())
    if groups == "other":
        groups = [{**rule, "name": "x"} for rule in recipe["groups"]]
    recipe["groups"] = groups
    assert (SPACE.params_of(recipe) is not None) == inside


class DrawnTrialOf:
    """Takes the first of everything."""

    def suggest_float(self, name, low, high, *, step=None, log=False):
        return low

    def suggest_int(self, name, low, high, *, step=1, log=False):
        return low

    def suggest_categorical(self, name, choices):
        return choices[0]


def test_a_recipe_with_groups_is_outside_a_space_without():
    space = parse_space("default")
    recipe = space.suggest(DrawnTrialOf())
    assert space.params_of(recipe) is not None
    assert space.params_of({**recipe, "groups": []}) is not None
    assert space.params_of({**recipe, "groups": [{"match": "a", "lr_scale": 0.1}]}) is None


def test_the_middle_of_a_space_is_that_of_its_ranges():
    layers, trunk, kinds = middle_groups(SPACE.groups)["groups"]
    assert layers["layer_decay"] == 0.7
    assert trunk["lr_scale"] == pytest.approx(10**-1.5)
    assert kinds["weight_decay"] == 0.5
    assert middle_groups(None) == {}


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        (3, "space.groups = 3, but rules such as {backbone: 0.1} or [{match: backbone, lr_scale: "),
        ([3], "space.groups[0] = 3, but a mapping such as {match: head} is needed"),
        ({"a": -1}, "space.groups.a.lr_scale = -1, but above 0 is accepted"),
        ({"a": {"low": 0.0, "high": 1}}, "space.groups.a.lr_scale.low = 0.0, but above 0 is accep"),
        ({"a": {"betas": [0.9, 0.99]}}, "space.groups.a.betas is not a field of a group with opti"),
        ({"a": 1, "(a)": 2}, "space.groups: two rules are called 'a'; give one of them a name"),
        ([{"match": "a", "lr": 1}], "space.groups[0].lr is not a field of a group; write lr_scale"),
    ],
    ids=str,
)
def test_wrong_groups_are_refused_with_their_place(groups, message):
    with pytest.raises(SpecError) as error:
        parse_space({"optimizers": {"sgd": {}, "adamw": {}}, "groups": groups})
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


# What a study makes of recipes.


def test_a_given_recipe_has_the_spaces_fixed_groups_unless_it_has_its_own():
    spec = spec_of(space=SEARCHED)
    fields = {"optimizer": {"name": "adamw", "lr": 0.01}}
    assert spec.recipe(fields, batch_size=8).groups == (
        {"match": r"layers\.(\d+)\."},
        {"name": "trunk", "match": ["^backbone", "^stem"], "weight_decay": 0},
        {"kind": ["norm", "bias"]},
    )
    none = spec.recipe({**fields, "groups": []}, batch_size=8)
    assert none.groups == ()
    again = spec.recipe(none.to_dict(), batch_size=8)  # as a worker reads it
    assert again == none


def test_a_study_without_groups_keeps_its_hash_and_its_recipes():
    spec = spec_of()
    assert "groups" not in spec.to_dict()["space"]
    recipe = spec.recipe({"optimizer": {"name": "adamw", "lr": 0.01}}, batch_size=8)
    assert "groups" not in recipe.to_dict()


def test_groups_are_part_of_a_studys_identity():
    plain, grouped = spec_of(), spec_of(space={"groups": {"backbone": 0.1}})
    assert plain.hash() != grouped.hash()
    assert any(line.startswith("space.groups") for line in plain.differences(grouped))


def test_the_tasks_function_is_only_of_a_study_that_has_it():
    fields = {"optimizer": {"name": "adamw", "lr": 0.01}, "groups": "task"}
    with pytest.raises(
        SpecError, match=r"recipe\.groups = 'task', but the study's task has no func"
    ):
        spec_of().recipe(fields, batch_size=8)
    spec = spec_of(space={"groups": "task"})
    assert spec.recipe(fields, batch_size=8).groups == "task"


# A plateau schedule that follows the objective.

ACCURACY = {"metric": "accuracy", "direction": "maximize"}
PLATEAU = {"name": "plateau", "metric": "objective"}


def test_a_plateau_of_the_objective_has_its_direction_from_the_study():
    fields = {"optimizer": {"name": "adamw", "lr": 0.01}, "schedule": PLATEAU}
    assert spec_of(objective=ACCURACY).recipe(fields, batch_size=8).schedule["mode"] == "max"
    assert "mode" not in spec_of().recipe(fields, batch_size=8).schedule
    wrong = {**fields, "schedule": {**PLATEAU, "mode": "max"}}
    with pytest.raises(
        SpecError, match=r"recipe\.schedule\.mode = 'max', but the study has direction"
    ):
        spec_of().recipe(wrong, batch_size=8)


def test_a_recipe_whose_direction_is_the_studys_is_inside_its_space():
    spec = spec_of(
        objective=ACCURACY,
        space={"schedules": {"plateau": {"metric": "objective"}}, "optimizers": {"adamw": {}}},
    )
    recipe = spec.recipe(spec.space.suggest(DrawnTrialOf()), batch_size=8)
    assert recipe.schedule["mode"] == "max"
    assert spec.space.params_of(recipe.to_dict()) is not None


def test_a_space_says_nothing_of_the_direction():
    with pytest.raises(SpecError, match="the study's objective says it; leave it out"):
        parse_space({"schedules": {"plateau": {"mode": "max"}}})
