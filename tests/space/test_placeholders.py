"""The space of a command follows from its placeholders, and nothing is searched in vain."""

import pytest
from drawn import DrawnTrial
from hypothesis import given
from hypothesis import strategies as st

from lrsearch.catalog.domains import Choice, Fixed, Range
from lrsearch.catalog.script import SCRIPT
from lrsearch.errors import SpecError
from lrsearch.export import export
from lrsearch.recipe.fingerprint import fingerprint
from lrsearch.recipe.recipe import Recipe
from lrsearch.space.placeholders import space_from_placeholders, told_recipe
from lrsearch.space.portfolio.adapt import portfolio_recipes
from lrsearch.space.portfolio.default import DEFAULT
from lrsearch.space.presets import PRESETS
from lrsearch.space.search_space import SearchSpace

LR = Range(low=1e-5, high=1.0, log=True)
NO_WARMUP = Fixed(value=0.0)
DECAY = {"low": 1e-6, "high": 1e-2, "log": True}


def space_of(names, content=None, **options):
    return space_from_placeholders(names.split(), content, **options)


def test_a_learning_rate_alone_is_searched_with_the_scripts_own_optimizer_and_schedule():
    space = space_of("optimizer.lr seed epochs dir")
    assert space == SearchSpace(
        optimizers={SCRIPT: {"lr": LR}}, schedules={SCRIPT: {}}, warmup=NO_WARMUP, params={}
    )


def test_written_fields_with_placeholders_are_searched():
    space = space_of(
        "optimizer.lr optimizer.weight_decay params.width warmup",
        {
            "optimizers": {"script": {"lr": 0.1, "weight_decay": DECAY}},
            "warmup": [0.0, 0.1],
            "params": {"width": [16, 32]},
        },
    )
    assert space.optimizers == {
        SCRIPT: {"lr": Fixed(value=0.1), "weight_decay": Range(low=1e-6, high=1e-2, log=True)}
    }
    assert space.warmup == Choice(choices=(0.0, 0.1))
    assert space.params == {"width": Choice(choices=(16, 32))}


def test_of_a_preset_only_what_has_a_placeholder_is_searched():
    names = "optimizer.name optimizer.lr schedule.name"
    space = space_of(names, "quick")
    assert {name: set(fields) for name, fields in space.optimizers.items()} == {
        "sgd": {"lr"},
        "adamw": {"lr"},
    }
    assert space.schedules == {"cosine": {}, "one_cycle": {}}
    assert space.warmup == NO_WARMUP
    with_warmup = space_of(f"{names} warmup optimizer.weight_decay", "quick")
    assert with_warmup.warmup == PRESETS["quick"].warmup
    assert with_warmup.optimizers["adamw"]["weight_decay"] == Fixed(value=0.01)


def test_sgd_is_searched_by_plain_lr_unless_the_script_is_told_the_momentum():
    told = "optimizer.lr optimizer.momentum"
    lr = space_of("optimizer.lr", {"optimizers": ["sgd"]}).optimizers["sgd"]["lr"]
    assert lr == Range(low=1e-3, high=1.0, log=True)
    lr = space_of(told, {"optimizers": ["sgd"]}).optimizers["sgd"]["lr"]
    assert lr.unit == "momentum_equivalent"


def test_a_file_with_the_recipe_tells_the_script_everything():
    space = space_of("recipe", {"optimizers": ["adamw"], "params": {"width": [1, 2]}})
    assert space.optimizers == {"adamw": PRESETS["default"].optimizers["adamw"]}
    assert space.warmup == NO_WARMUP


@pytest.mark.parametrize(
    ("names", "content", "line"),
    [
        (
            "optimizer.lr",
            {"optimizers": {"script": {"weight_decay": DECAY}}},
            "space.optimizers.script.weight_decay is searched, but the command is not told it; "
            'add --weight-decay "{weight_decay}", or leave it out',
        ),
        (
            "optimizer.lr",
            {"optimizers": {"script": {"momentum": 0.9}}},
            "space.optimizers.script.momentum is fixed, but the command is not told it; "
            'add --momentum "{momentum}", or leave it out',
        ),
        (
            "optimizer.lr",
            {"optimizers": {"adamw": {"betas": [0.9, 0.95]}}},
            "space.optimizers.adamw.betas is fixed, but the command is not told it; add the "
            "placeholders {optimizer.beta1} and {optimizer.beta2}, or leave it out",
        ),
        (
            "optimizer.lr",
            {"optimizers": ["adamw", "sgd"]},
            "space.optimizers has adamw, sgd, but the command is not told it; add "
            '--optimizer "{optimizer}", or leave it out',
        ),
        (
            "optimizer.lr",
            {"schedules": {"cosine": {"eta_min": 0.1}}},
            "space.schedules.cosine.eta_min is fixed, but the command is not told it; add "
            '--eta-min "{schedule.eta_min}", or leave it out',
        ),
        (
            "optimizer.lr",
            {"warmup": [0.0, 0.1]},
            "space.warmup is searched, but the command is not told it; add "
            '--warmup "{warmup}", or leave it out',
        ),
        (
            "optimizer.lr",
            {"params": {"width": [1, 2]}},
            "space.params.width is searched, but the command is not told it; add "
            '--width "{width}", or leave it out',
        ),
        (
            "seed",
            None,
            'the command has no placeholder of the learning rate; add --lr "{lr}"',
        ),
        (
            "optimizer.lr optimizer.weight_decay",
            None,
            "the placeholder {weight_decay} has no values; write the range to search, as space: "
            "{optimizers: {script: {weight_decay: {low: 1e-6, high: 1e-2, log: true}}}}",
        ),
        (
            "optimizer.lr optimizer.name optimizer.momentum",
            {"optimizers": ["sgd", "adamw"]},
            "the placeholder {momentum} has no value where the optimizer is adamw; leave one of "
            "them out, or say what then stands there, as names: {optimizer.momentum: {none: 0}}",
        ),
        (
            "optimizer.lr optimizer.weight",
            None,
            "the placeholder {optimizer.weight} is no field of optimizer script; did you mean "
            "'weight_decay'?",
        ),
        (
            "optimizer.lr schedule.gamma",
            None,
            "the placeholder {schedule.gamma} is no field of schedule script; it has none",
        ),
        (
            "optimizer.lr schedule.name",
            None,
            "the placeholder {schedule} has no values; write e.g. space.schedules: "
            "[cosine, linear]",
        ),
        (
            "optimizer.lr params.width",
            None,
            "the placeholder {width} has no values; write space.params: {width: [1, 2]} with "
            "those to search",
        ),
        (
            "optimizer.lr",
            {"groups": {"backbone": 0.1}},
            "space.groups: the script groups its parameters; leave it out",
        ),
        (
            "optimizer.lr",
            {"optimizer": "adamw"},
            "space.optimizer is not a field of a space; did you mean 'optimizers'?",
        ),
        ("optimizer.lr", 3, "space = 3, but a preset's name or a mapping is accepted"),
    ],
)
def test_what_would_not_reach_the_script_is_refused_in_one_line(names, content, line):
    with pytest.raises(SpecError) as refused:
        space_of(names, content)
    assert str(refused.value) == line


def test_a_field_that_some_optimizers_lack_may_have_a_word_of_its_own():
    space = space_of(
        "optimizer.lr optimizer.name optimizer.momentum",
        {"optimizers": ["sgd", "adamw"]},
        may_lack=["optimizer.momentum"],
    )
    assert "momentum" in space.optimizers["sgd"]
    assert set(space.optimizers["adamw"]) == {"lr"}


def test_a_recipe_of_the_users_own_takes_its_names_from_the_space():
    names = ["optimizer.lr", "params.width"]
    space = space_of("optimizer.lr params.width", {"params": {"width": [1, 2]}})
    recipe = {"optimizer": {"lr": 0.1}, "params": {"width": 2}}
    assert told_recipe(recipe, space, names, "baseline") == {
        "optimizer": {"name": "script", "lr": 0.1},
        "schedule": {"name": "script"},
        "params": {"width": 2},
    }


@pytest.mark.parametrize(
    ("recipe", "line"),
    [
        (
            {"optimizer": {"lr": 0.1}},
            "baseline has no params.width, which {width} stands for; add it",
        ),
        (
            {"optimizer": {"lr": 0.1, "momentum": 0.9}, "params": {"width": 1}},
            "baseline: optimizer.momentum is set, but the command is not told it; add "
            '--momentum "{momentum}", or leave it out',
        ),
        (
            {"optimizer": {"lr": 0.1}, "params": {"width": 1}, "warmup": 0.1},
            "baseline: warmup is set, but the command is not told it; add "
            '--warmup "{warmup}", or leave it out',
        ),
    ],
)
def test_a_recipe_that_the_command_cannot_be_told_is_refused(recipe, line):
    space = space_of("optimizer.lr params.width", {"params": {"width": [1, 2]}})
    with pytest.raises(SpecError) as refused:
        told_recipe(recipe, space, ["optimizer.lr", "params.width"], "baseline")
    assert str(refused.value) == line


def test_the_scripts_own_optimizer_has_no_portfolio():
    assert portfolio_recipes(space_of("optimizer.lr"), DEFAULT) == []
    real = space_of("optimizer.lr", {"optimizers": ["adamw"]})
    recipes = portfolio_recipes(real, DEFAULT)
    rates = list(dict.fromkeys(each.optimizer["lr"] for each in DEFAULT if each.name == "adamw"))
    assert [recipe["optimizer"] for recipe in recipes] == [
        {"name": "adamw", "lr": pytest.approx(rate)} for rate in rates
    ]


FIELDS = {
    "momentum": [0.0, 0.5, 0.9],
    "weight_decay": DECAY,
    "beta1": {"low": 0.8, "high": 0.95},
    "beta2": [0.99, 0.999],
    "eps": [1e-8, 1e-6],
}
SCHEDULES = {"script": {}, "cosine": {}, "step": {"gamma": [0.1, 0.3]}}


@st.composite
def commands(draw):
    """Placeholders and the space that a study file writes for them."""
    fields = draw(st.sets(st.sampled_from(sorted(FIELDS))))
    schedule = draw(st.sampled_from(sorted(SCHEDULES)))
    warmup = draw(st.booleans())
    params = draw(st.dictionaries(st.sampled_from(["width", "depth"]), st.just([1, 2])))
    names = ["optimizer.lr", *(f"optimizer.{field}" for field in sorted(fields))]
    names += [f"schedule.{key}" for key in SCHEDULES[schedule]] + ["warmup"] * warmup
    names += [f"params.{name}" for name in params] + ["seed", "epochs"]
    content = {
        "optimizers": {"script": {field: FIELDS[field] for field in fields}},
        "schedules": {schedule: SCHEDULES[schedule]},
        "params": params,
    }
    return names, content


@given(commands(), st.data())
def test_recipes_of_a_command_come_back_from_their_parameters_and_their_files(
    tmp_path_factory, command, data
):
    names, content = command
    space = space_from_placeholders(names, content)
    assert SearchSpace.from_dict(space.to_dict()) == space
    trial = DrawnTrial(data)
    fields = space.suggest(trial)
    recipe = Recipe.from_dict({**fields, "epochs": 3})
    assert space.params_of(recipe.to_dict()) == pytest.approx(trial.params)
    assert recipe.title().startswith(f"lr {recipe.lr:.3g}")
    assert "the script's own optimizer" in recipe.title()
    assert told_recipe(fields, space, names, "recipe") == fields
    path = tmp_path_factory.mktemp("recipe") / "best.yaml"
    origin = {"study": "s", "trial_number": 1, "value": 0.5, "metric": "val_loss", "versions": {}}
    path.write_text(export(recipe, "yaml", steps_per_epoch=1, **origin).text)
    assert Recipe.load(path) == recipe
    assert fingerprint(Recipe.load(path).to_dict()) == fingerprint(fields)
