"""Recipes sampled before a study: what they cover, and their picture."""

import math

import pytest

from lrsearch.errors import SpecError
from lrsearch.report.plots.sampled_schedules import preview_figure, save_preview
from lrsearch.space.presets import PRESETS
from lrsearch.spec.sample_recipes import sample
from lrsearch.spec.study_spec import StudySpec

PLATEAU = {"optimizers": ["sgd", "adagrad"], "schedules": ["plateau", "one_cycle"]}


def spec_of(space, **changes):
    content = {"name": "s", "task": "t.py:task", "epochs": 5, "budget": {"trials": 9}}
    return StudySpec.from_dict({**content, "space": space, **changes})


def sampled(space, count=12, **changes):
    return sample(spec_of(space, **changes), count, 32)


@pytest.mark.parametrize("preset", PRESETS)
def test_a_sample_shows_every_optimizer_and_schedule(preset):
    space = PRESETS[preset]
    recipes = sampled(preset)
    assert {recipe.optimizer["name"] for recipe in recipes} == space.optimizers.keys()
    assert {recipe.schedule["name"] for recipe in recipes} == space.schedules.keys()
    pairs = {(recipe.optimizer["name"], recipe.schedule["name"]) for recipe in recipes}
    assert len(pairs) == min(12, len(space.optimizers) * len(space.schedules))


def test_a_sample_is_the_same_again_and_another_with_another_seed():
    assert sampled("default") == sampled("default")
    assert sampled("default") != sampled("default", seed=1)


def test_a_sample_draws_integers_steps_and_params_inside_their_ranges():
    params = {
        "batch_size": [16, 64],
        "layers": {"low": 1, "high": 9, "step": 2},
        "width": {"low": 8, "high": 512, "log": True},
        "dropout": {"low": 0.0, "high": 0.3, "step": 0.1},
    }
    for recipe in sampled({"params": params}, count=40):
        assert recipe.batch_size == recipe.params["batch_size"]
        assert recipe.params["layers"] in (1, 3, 5, 7, 9)
        assert isinstance(recipe.params["width"], int)
        assert 8 <= recipe.params["width"] <= 512
        assert any(math.isclose(recipe.params["dropout"], i / 10, abs_tol=1e-9) for i in range(4))


def test_the_picture_names_every_recipe_and_shows_its_lrs_and_momentum():
    recipes = sampled(PLATEAU, count=4)
    figure = preview_figure(recipes, 20)
    top, bottom = figure.axes
    (legend,) = figure.legends
    labels = [text.get_text() for text in legend.get_texts()]
    assert len(labels) == len(top.get_lines()) == 4
    for recipe, line, label in zip(recipes, top.get_lines(), labels, strict=True):
        assert label.startswith(f"{recipe.optimizer['name']} {recipe.optimizer['lr']:.2g} · ")
        assert label.endswith("only falls") == (recipe.schedule["name"] == "plateau")
        assert max(line.get_ydata()) == pytest.approx(recipe.optimizer["lr"], rel=0.02)
    assert len(bottom.get_lines()) == 2  # adagrad has no momentum
    looks = {(line.get_color(), str(line.get_linestyle())) for line in top.get_lines()}
    assert len(looks) >= 2


def test_all_lines_look_different():
    lines = preview_figure(sampled("wide"), 20).axes[0].get_lines()
    looks = {(line.get_color(), str(line._unscaled_dash_pattern)) for line in lines}
    assert len(looks) == 12


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("picture.doc", "--plot picture.doc: its ending is none of "),
        ("nowhere/picture.png", "--plot nowhere/picture.png: No such file or directory"),
    ],
)
def test_a_picture_that_cannot_be_written_is_one_clear_line(name, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SpecError) as error:
        save_preview(sampled("quick"), 20, type(tmp_path)(name))
    assert str(error.value).startswith(message)


def test_twelve_lines_differ_in_their_markers_and_say_so():
    figure = preview_figure(sampled("default"), 30)
    top, bottom = figure.axes
    lines = top.get_lines()
    assert len({line.get_marker() for line in lines}) == len(lines) == 12
    looks = {(line.get_color(), line.get_linestyle(), line.get_marker()) for line in lines}
    assert len(looks) == 12
    legend = [handle.get_marker() for handle in figure.legends[0].get_lines()]
    assert legend == [line.get_marker() for line in lines]
    assert {line.get_marker() for line in bottom.get_lines()} <= set(legend)
    assert "a marker of its own" in " ".join(figure.get_suptitle().split())
