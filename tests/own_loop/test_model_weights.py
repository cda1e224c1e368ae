"""Which model a script trains, as far as `run.build` tells, and what is written of it."""

from types import SimpleNamespace

import pytest
import torch
from tiny_studies import curve_row
from torch import nn

from lrsearch.child_process.folders import trial_folder
from lrsearch.errors import StudyError
from lrsearch.long_run.model_file import kept_weights
from lrsearch.own_loop.model_weights import known_model, write_model
from lrsearch.own_loop.role import make_role
from lrsearch.recipe.recipe import Recipe
from lrsearch.worker.scripts.kept import NOTE, keep, kept_model, kept_row, weights_file


def role_of(given, **fields):
    recipe = Recipe.from_dict({"optimizer": {"name": "sgd", "lr": 0.5}, "epochs": 1, **fields})
    role = make_role("main", given, recipe, 4)
    role.follow(recipe, None)
    return role


def net():
    return nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Linear(3, 1))


def test_the_model_is_that_of_the_only_role():
    model = net()
    assert known_model([role_of(model)]) is model
    assert known_model([role_of(model.parameters())]) is model
    assert known_model([role_of([{"params": model.parameters(), "lr_scale": 0.5}])]) is model
    assert known_model([]) is None
    assert known_model([role_of(model), role_of(net())]) is None


def test_parameters_of_no_one_model_have_none(tmp_path):
    one, other = net(), net()
    both = role_of([*one.parameters(), *other.parameters()])
    assert known_model([both]) is None
    assert write_model([both], tmp_path / "model.pt", averaged=False) == 0
    assert not (tmp_path / "model.pt").exists()
    lone = role_of([nn.Parameter(torch.ones(2))])
    assert known_model([lone]) is None


def test_what_wraps_a_model_is_taken_off():
    class Compiled(nn.Module):
        def __init__(self, model):
            super().__init__()
            self._orig_mod = model

    model = net()
    assert known_model([role_of(Compiled(model))]) is model


@pytest.mark.parametrize("averaged", [False, True])
def test_the_state_dict_is_written_and_the_model_stays_as_it_is(tmp_path, averaged):
    model = net()
    role = role_of(model, ema={"epochs": 1.0})
    before = {name: value.clone() for name, value in model.state_dict().items()}
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    role.optimizer.step()
    role.advance()
    after = {name: value.clone() for name, value in model.state_dict().items()}
    size = write_model([role], tmp_path / "model.pt", averaged=averaged)
    assert size == (tmp_path / "model.pt").stat().st_size
    saved = torch.load(tmp_path / "model.pt", weights_only=True)
    weight = "0.weight"
    assert torch.equal(saved[weight], after[weight]) is not averaged
    if averaged:
        low, high = sorted([before[weight][0, 0].item(), after[weight][0, 0].item()])
        assert low <= saved[weight][0, 0].item() <= high
    assert saved.keys() == after.keys()
    assert all(torch.equal(model.state_dict()[name], value) for name, value in after.items())


def test_weights_that_are_not_there_are_told_in_a_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    study = SimpleNamespace(name="mine", spec=SimpleNamespace(program="train"))
    trial = SimpleNamespace(number=0, best_validation=3)
    folder = trial_folder("mine", "trial-0")
    folder.mkdir(parents=True)
    for validation, is_kept in ((1, False), (3, True)):
        with pytest.raises(StudyError, match=r"gives its model to run.build\(model, ...\)"):
            kept_weights(study, trial)
        torch.save({"w": torch.ones(1)}, weights_file(folder, validation))
        keep(folder, curve_row(validation))
        if is_kept:
            assert kept_weights(study, trial).row.validation == 3


def test_the_weights_of_one_validation_stay(tmp_path):
    assert kept_row(tmp_path) is None
    assert kept_model(tmp_path) is None
    for validation in (1, 3):
        torch.save({"w": torch.full((2,), float(validation))}, weights_file(tmp_path, validation))
        keep(tmp_path, curve_row(validation))
    assert kept_row(tmp_path) == curve_row(3)
    assert kept_model(tmp_path).weights["w"].tolist() == [3.0, 3.0]
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["kept-weights-3.pt", NOTE]
    weights_file(tmp_path, 3).write_bytes(b"no weights")
    with pytest.raises(StudyError, match="cannot be read"):
        kept_model(tmp_path)
