"""`lrsearch.train` and `Result.train`: from a result to weights."""

import pytest
import torch
from tiny_studies import search_here, tiny_task
from torch.nn.functional import mse_loss

import lrsearch

ADAM = {"optimizer": {"name": "adamw", "lr": 0.02}, "schedule": "cosine"}
FIELDS = {"budget": {"trials": 1}, "confirm": None, "pruning": None, "enqueue": [ADAM]}


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    return f"sqlite:///{tmp_path_factory.mktemp('train')}/study.db"


@pytest.fixture(scope="module")
def result(url, tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("checkpoints"))
    return search_here(name="tiny", storage=url, checkpoints=folder, **FIELDS)


def loss_of(state):
    task = tiny_task().make({})
    model = task.model()
    model.load_state_dict(state)
    with torch.no_grad():
        return mse_loss(model.eval()(task.validation[0]), task.validation[1]).item()


def test_a_result_is_trained_further_in_this_process(result, tmp_path):
    model = result.train(epochs=8, save=tmp_path / "model.pt")
    assert (model.name, model.metric, model.epoch) == ("tiny-train-8", "val_loss", 8.0)
    assert (model.recipe.epochs, model.recipe.lr) == (8, 0.02)
    assert len(model.curve) == 16
    assert model.curve[-1].value == model.value
    assert "not measured at 8 epochs" in model.note
    assert loss_of(model.state_dict()) == pytest.approx(model.value, rel=1e-6)
    saved = torch.load(tmp_path / "model.pt", weights_only=True)
    assert all(torch.equal(saved[name], value) for name, value in model.state_dict().items())
    assert lrsearch.Recipe.load(tmp_path / "model.yaml") == model.recipe
    assert repr(model).startswith("TrainedModel(tiny-train-8: adamw lr 0.02")
    assert model.report(tmp_path / "report").exists()


def test_a_recipe_of_ones_own_has_a_run_of_its_own(result):
    recipe = lrsearch.Recipe.from_dict({"optimizer": {"name": "sgd", "lr": 0.01}})
    model = result.train(epochs=2, recipe=recipe)
    assert model.recipe.optimizer_name == "sgd"
    assert model.name.startswith("tiny-train-2-")
    assert model.note is None
    again = result.train(epochs=2, recipe=recipe)
    assert (again.name, again.value) == (model.name, model.value)


def test_a_study_in_the_database_is_trained_by_its_name(url, result):
    with pytest.raises(lrsearch.StudyError, match=r"trains a Task object of a Python process"):
        lrsearch.train("tiny", epochs=4, storage=url)
    model = lrsearch.train("tiny", epochs=4, storage=url, task=tiny_task().make({}))
    assert model.name == "tiny-train-4"


def test_a_study_without_a_name_is_trained_too(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = search_here(**FIELDS).train(epochs=2)
    assert loss_of(model.state_dict()) == pytest.approx(model.value, rel=1e-6)
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_is_said(result, tmp_path):
    with pytest.raises(lrsearch.SpecError, match="length of the run is given once"):
        result.train()
    with pytest.raises(lrsearch.SpecError, match=r"^save = .*model\.ckpt: a file of torch\.save"):
        result.train(epochs=2, save=tmp_path / "model.ckpt")
    with pytest.raises(lrsearch.StudyError, match="has no trial 7"):
        result.train(epochs=2, recipe=7)


WSD = {**ADAM, "schedule": {"name": "wsd", "decay": 0.5}}


def test_a_trial_is_branched_into_models_of_several_lengths(tmp_path):
    """The longer one goes on from the trunk of the shorter, and has the bits of a whole run."""
    found = search_here(**{**FIELDS, "enqueue": [WSD]})
    short, long = found.branch(0, at=[4, 2], save=tmp_path / "models")
    assert [model.recipe.epochs for model in (short, long)] == [2, 4]
    saved = torch.load(tmp_path / "models/at-4.pt", weights_only=True)
    whole = found.train(epochs=4, recipe=long.recipe)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, long.state_dict()[name])
        assert torch.equal(value, saved[name])
    with pytest.raises(lrsearch.SpecError, match=r"branch\(\): at = 4: two or more different"):
        found.branch(0, at=[4])
    with pytest.raises(lrsearch.StudyError, match="no trial 9"):
        found.branch(9, at=[2, 4])
