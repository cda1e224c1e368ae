"""`lrsearch train`: from a study to a model file, as a user does it."""

import json
import shutil
import signal

import psutil
import pytest
import torch
import yaml
from command import run_here
from processes import Command, until
from tiny_studies import TASKS, opened, recorded_checkpoints, tiny_task
from torch.nn.functional import mse_loss

from lrsearch.recipe.recipe import Recipe
from lrsearch.report.load import load_report
from lrsearch.user_input import read_yaml

ADAM = {"optimizer": {"name": "adamw", "lr": 0.02}, "schedule": "cosine"}
SGD = {"optimizer": {"name": "sgd", "lr": 0.02}, "schedule": "constant"}
#: Adam's is the better one.
SEARCH = {"budget": {"trials": 2}, "confirm": None, "pruning": None, "enqueue": [SGD, ADAM]}


def searched(folder, **changes):
    """A folder with the tiny study, its search done."""
    shutil.copy(TASKS / "tiny.py", folder)
    study = {**read_yaml(TASKS / "tiny.yaml", "study file"), **SEARCH, **changes}
    (folder / "tiny.yaml").write_text(yaml.safe_dump(study))
    ended = run_here("run", "tiny.yaml", folder=folder)
    assert ended.code == 0, ended.err
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """No test may change its study."""
    return searched(tmp_path_factory.mktemp("searched"))


def train(folder, *words):
    return run_here("train", "tiny", *words, folder=folder)


def document(folder, *words):
    ended = train(folder, *words, "--json")
    assert ended.code == 0, ended.err
    return json.loads(ended.out)


def plain_loss(path):
    task = tiny_task().make({})
    model = task.model()
    model.load_state_dict(torch.load(path, weights_only=True))
    with torch.no_grad():
        return mse_loss(model.eval()(task.validation[0]), task.validation[1]).item()


def test_the_user_ends_with_a_model_file_and_its_recipe(folder):
    found = document(folder, "--epochs", 8, "--save", "model.pt")
    assert (found["study"], found["trial"], found["epochs"]) == ("tiny-train-8", 0, 8.0)
    assert found["recipe_of"] == "trial 1 of tiny"
    assert "was not measured at 8 epochs" in found["note"]
    assert plain_loss(found["model"]) == pytest.approx(found["value"], rel=1e-6)
    recipe = Recipe.load(found["recipe_file"])
    assert (recipe.epochs, recipe.lr, recipe.schedule_name) == (8, 0.02, "cosine")
    assert (folder / "tiny-train-8-report" / "curves.svg").exists()
    report = (folder / "tiny-train-8-report" / "report.md").read_text(encoding="utf-8")
    assert "## One run" in report
    assert "The recipe was given; nothing was searched." in report
    assert "search further" not in report
    again = train(folder, "--epochs", 8, "--save", "again.pt")
    assert again.code == 0, again.err
    assert "it goes on as study tiny-train-8" in again.out
    assert "Training took" not in again.out
    assert plain_loss(folder / "again.pt") == plain_loss(found["model"])


def test_a_trial_and_a_seed_have_runs_of_their_own(folder):
    found = document(folder, "--recipe", 0, "--epochs", 4, "--seed", 7)
    assert found["study"] == "tiny-train-4-trial-0-seed-7"
    assert (found["recipe"]["optimizer"]["name"], found["seed"]) == ("sgd", 7)
    assert (found["note"], found["model"]) == (None, None)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ([], "the length of the run is given once: --epochs N or --steps N"),
        (["--epochs", 8, "--steps", 9], "the length of the run is given once: --epochs N or"),
        (["--epochs", 0], "--epochs 0: at least 1 is needed"),
        (["--epochs", 8, "--seed", -1], "--seed -1: a whole number from 0 to 2147483647 is needed"),
        (["--epochs", 8, "--recipe", 9], "study 'tiny' has no trial 9; its trials are 0 to 1"),
        (["--epochs", 8, "--recipe", "no.yaml"], "no.yaml"),
        (["--epochs", 8, "--recipe", "tiny.yaml"], "--recipe tiny.yaml: "),
        (["--epochs", 8, "--save", "no/model.pt"], "--save no/model.pt: the folder no does not"),
        (["--epochs", 8, "--save", "."], "--save . is a folder; name a file, such as model.pt"),
        (["--epochs", 8, "--save", "m.safetensors"], "--save m.safetensors: a file of torch.save"),
        (["--epochs", 8, "--name", "tiny"], "study 'tiny' exists with another spec: "),
        (["--epochs", 8, "--name", "no good"], "name = 'no good'"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(folder, words, line):
    ended = train(folder, *words)
    assert ended.code == 1
    (error,) = [each for each in ended.err.splitlines() if each.startswith("Error: ")]
    assert error.startswith(f"Error: {line}") or line in error
    assert "Traceback" not in ended.err


def test_another_recipe_needs_another_name(folder):
    assert train(folder, "--recipe", 0, "--epochs", 2, "--name", "mine").code == 0
    ended = train(folder, "--recipe", 1, "--epochs", 2, "--name", "mine")
    assert ended.code == 1
    assert "the run 'mine' is there already and trains another recipe than trial 1" in ended.err


def test_a_run_keeps_its_recipe_though_the_study_recommends_another(tmp_path):
    folder = searched(tmp_path, enqueue=[SGD], budget={"trials": 1})
    first = document(folder, "--epochs", 5)
    (folder / "adam.yaml").write_text(yaml.safe_dump(ADAM))
    assert run_here("trial", "add", "tiny", "--recipe", "adam.yaml", folder=folder).code == 0
    assert run_here("run", "tiny.yaml", "--trials", 2, folder=folder).code == 0
    again = document(folder, "--epochs", 5)
    assert again["recipe"] == first["recipe"]
    assert again["recipe_of"].endswith("; the study recommends trial 1 of tiny by now")
    assert document(folder, "--recipe", 1, "--epochs", 5)["value"] < again["value"]


def test_a_run_that_diverged_says_so(folder):
    recipe = {"optimizer": {"name": "sgd", "lr": 1e9}, "schedule": "constant"}
    (folder / "cliff.yaml").write_text(yaml.safe_dump(recipe))
    ended = train(folder, "--recipe", "cliff.yaml", "--epochs", 3, "--save", "cliff.pt")
    assert ended.code == 1
    assert "the run 'tiny-train-3-cliff' is diverged (" in ended.err
    assert "lrsearch study delete tiny-train-3-cliff --yes" in ended.err
    assert not (folder / "cliff.pt").exists()


def test_weights_that_are_gone_are_missed_in_one_line(folder):
    document(folder, "--epochs", 3)
    shutil.move(folder / "lrsearch-checkpoints", folder / "elsewhere")
    try:
        ended = train(folder, "--epochs", 3, "--save", "gone.pt")
    finally:
        shutil.move(folder / "elsewhere", folder / "lrsearch-checkpoints")
    assert ended.code == 1
    assert "the weights of 'tiny-train-3' are not in lrsearch-checkpoints" in ended.err


def test_after_kill_9_the_same_command_ends_with_the_same_bits(tmp_path):
    folder = tmp_path / "work"
    folder.mkdir()
    searched(folder, checkpoints={"every": 0.3}, lease={"seconds": 2.0})
    words = ("train", "tiny", "--epochs", 20, "--save")
    assert run_here(*words, "whole.pt", "--name", "whole", folder=folder).code == 0
    control = tmp_path / "control"
    control.write_text("slow")
    killed = Command(*words, "model.pt", folder=folder, TINY_CONTROL=str(control))
    with opened(f"sqlite:///{folder}/lrsearch.db") as database:
        before = recorded_checkpoints(database)
        until(lambda: recorded_checkpoints(database) > before)
    for process in [*killed.children(), psutil.Process(killed.pid)]:
        process.send_signal(signal.SIGKILL)
    killed.wait()
    assert not (folder / "model.pt").exists()
    ended = run_here(*words, "model.pt", folder=folder)
    assert ended.code == 0, ended.err
    whole, model = (torch.load(folder / n, weights_only=True) for n in ("whole.pt", "model.pt"))
    assert whole.keys() == model.keys()
    assert all(torch.equal(whole[name], model[name]) for name in whole)
    with opened(f"sqlite:///{folder}/lrsearch.db") as database:
        (trial,) = load_report(database, "tiny-train-20").trials
    assert trial.attempt == 2
