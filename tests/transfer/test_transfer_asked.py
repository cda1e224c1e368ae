"""What is asked of a transfer: completed, or refused in one line."""

import pytest
from tiny_studies import STEPS_PER_EPOCH, tiny_spec

from lrsearch.errors import SpecError
from lrsearch.spec.study_spec import StudySpec
from lrsearch.transfer.asked import Asked, asked_study
from lrsearch.transfer.refusals import horizon_note
from lrsearch.transfer.request import short_horizons

SGD = {"optimizer": {"name": "sgd", "lr": 0.05}, "schedule": "cosine"}


def made(spec, recipe, **asked):
    full = spec.recipe(recipe, batch_size=None)
    return asked_study(spec, full, Asked(**{"to": 64, **asked}), STEPS_PER_EPOCH)


def refused(spec, recipe=SGD, **asked):
    with pytest.raises(SpecError) as found:
        made(spec, recipe, **asked)
    (line,) = str(found.value).splitlines()
    return line


@pytest.mark.parametrize(
    ("to", "horizons"),
    [(64, (1, 2, 4, 8)), (240, (4, 8, 15, 30)), (32, (1, 2, 4)), (20, (1, 2, 4)), (8, (1, 2, 4))],
)
def test_short_horizons_are_an_eighth_and_its_halves(to, horizons):
    assert short_horizons(to) == horizons


def test_the_study_of_a_ladder_prunes_and_confirms_nothing():
    spec = made(tiny_spec(), SGD)
    assert spec.name == "tiny-to-64"
    assert (spec.pruning, spec.confirm, spec.portfolio, spec.range_test) == (None, None, 0, "none")
    assert spec.ladder.horizons == (1, 2, 4, 8)
    assert (spec.epochs, spec.steps) == (64, None)
    assert spec.budget.epochs == 4 * (9 + 4) / 4 + 2 * 9 + 4 * 9 + 8 * 7 + 64 * 8


def test_the_study_file_says_what_the_caller_does_not():
    spec = tiny_spec(transfer={"to": 64, "horizons": {"steps": [12, 24, 48]}, "probes": 0})
    found = made(spec, SGD, to=96)
    assert (found.steps, found.ladder.unit) == (96, "steps")
    field = tiny_spec(transfer={"to": 64, "lrs": 5, "seeds": 2, "objective": "last"})
    found = made(field, SGD, to=None, probes=0)
    assert (found.ladder.lrs, found.ladder.seeds, found.ladder.probes) == (5, 2, 0)
    assert found.objective.at == "last"


def test_transfer_may_change_in_the_file_of_a_study_that_is_there():
    assert not tiny_spec().differences(tiny_spec(transfer={"to": 32}))


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"to": None}, "give --to EPOCHS"),
        ({"to": 1}, "--to 1: 2 to"),
        ({"to": 4}, "at most half of it"),
        ({"probes": 2}, "--probes 2: 3 is accepted, or 0"),
        ({"seeds": 0}, "--seeds 0: 1 to 100"),
        ({"objective": "first"}, "last or best is accepted"),
        ({"horizons": "1,2,x"}, "--horizons 1,2,x: whole numbers"),
        ({"horizons": "0,2,4"}, "whole numbers from 1"),
        ({"horizons": "4,2,1"}, "have to rise"),
        ({"horizons": "1,2"}, "at least 3 show a trend"),
        ({"to": 65, "horizons": "1,2,4"}, "at most 16 times"),
        ({"horizons": "1,2,4", "probes": 0}, "without probes at most 8 times"),
        ({"name": "no name"}, "name"),
    ],
)
def test_what_cannot_be_trained_is_refused(asked, words):
    assert words in refused(tiny_spec(), **asked)


@pytest.mark.parametrize(
    ("recipe", "words"),
    [
        ({**SGD, "schedule": "plateau"}, "follows the loss"),
        ({"optimizer": {"name": "rprop", "lr": 0.1}}, "nothing can be predicted"),
    ],
)
def test_recipes_without_such_a_law_are_refused(recipe, words):
    assert words in refused(tiny_spec(), recipe)


def test_objectives_that_are_maximized_are_refused():
    spec = tiny_spec(objective={"metric": "mae", "direction": "maximize"})
    assert "objective 'mae' is maximized" in refused(spec)


def test_a_transfer_of_a_transfer_is_refused():
    assert "it is a transfer itself; give the study that it began with, 'tiny'" in refused(
        made(tiny_spec(), SGD)
    )


def command(*words):
    return StudySpec.from_dict(
        {
            "name": "mine",
            "command": ["python", "train.py", *words],
            "report": {"val_loss": "loss (\\S+)"},
            "epochs": 4,
            "budget": {"trials": 4},
            "space": {"optimizers": {"sgd": {}}, "schedules": ["constant"]},
        }
    )


def test_a_command_has_to_take_horizons_and_learning_rates():
    spec = command("--lr={lr}", "--steps={seed}")
    recipe = {"optimizer": {"name": "sgd", "lr": 0.1}}
    assert "its command has no {epochs}" in refused(spec, recipe)
    found = made(command("--lr={lr}", "--epochs={epochs}"), recipe)
    assert found.ladder.unit == "epochs"


@pytest.mark.parametrize(
    ("name", "value", "is_refused"),
    [
        ("milestones", [30, 60], True),
        ("milestones", [0.5, 0.75], False),
        ("T_max", 100, True),
        ("num_warmup_steps", 0, False),
        ("width", 100, False),
    ],
)
def test_lengths_of_a_scripts_schedule_have_to_stretch(name, value, is_refused):
    fields = {
        "name": "mine",
        "train": "train.py:train",
        "epochs": 4,
        "budget": {"trials": 4},
        "space": {
            "optimizers": {"sgd": {}},
            "schedules": ["constant"],
            "params": {name: {"choices": [value]}},
        },
    }
    spec = StudySpec.from_dict(fields)
    recipe = {"optimizer": {"name": "sgd", "lr": 0.1}, "params": {name: value}}
    if is_refused:
        line = refused(spec, recipe)
        assert f"its params.{name} = {value!r} is a length that stays" in line
    else:
        note = horizon_note(made(spec, recipe), "epochs")
        assert "have to follow its epochs" in note
    assert horizon_note(tiny_spec(), "epochs") is None


@pytest.mark.parametrize(
    ("field", "words"),
    [
        ({"horizons": 3}, "whole epochs such as [1, 2, 4, 8]"),
        ({"horizons": {"a": 1}}, "whole epochs such as [1, 2, 4, 8]"),
        ({"horizons": {"steps": [1.5]}}, "or {steps: [...]} are accepted"),
        ({"horizons": [1, -2]}, "transfer"),
        ({"to": 1}, "transfer.to"),
        ({"lrs": 2}, "transfer.lrs"),
        ({"probes": 1}, "transfer.probes"),
        ({"objective": "mean"}, "transfer.objective"),
        ({"batch_size": 0}, "transfer.batch_size"),
        ({"trunk": "often"}, "transfer.trunk"),
        ({"width": 2}, "transfer.width"),
        (7, "transfer"),
    ],
)
def test_hostile_values_of_the_field_are_refused_in_a_line(field, words):
    with pytest.raises(SpecError) as found:
        tiny_spec(transfer=field)
    assert words in str(found.value)
    assert len(str(found.value).splitlines()) == 1
