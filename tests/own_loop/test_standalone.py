"""A ported script without a study: a plain run of a recipe."""

import pytest
from command import run_module, run_script
from fake_worker import RECIPE

from lrsearch.own_loop.standalone import take_option
from lrsearch.recipe.recipe import Recipe

SCRIPT = """
import argparse
import torch
from torch import nn
from lrsearch import run

parser = argparse.ArgumentParser()
parser.add_argument("--batch-size", type=int, default=4)
arguments = parser.parse_args()
torch.manual_seed(run.seed)
model = nn.Linear(3, 1)
optimizer = run.build(model, steps_per_epoch=2)
for epoch in run.epochs():
    for _ in range(2):
        optimizer.zero_grad()
        loss = model(torch.randn(arguments.batch_size, 3)).square().mean()
        loss.backward()
        run.loss(loss)
        optimizer.step()
    with run.average() as averaged:
        if averaged:
            run.report(val_loss=0.25)
    run.report(val_loss=0.5)
print(run.kind, run.seed, run.device, run.params, run.folder, arguments.batch_size)
"""


def play(folder, *arguments):
    (folder / "train.py").write_text(SCRIPT)
    return run_script(folder / "train.py", *arguments, folder=folder)


def test_it_runs_the_recipe_that_it_is_given(tmp_path):
    path = tmp_path / "best.yaml"
    Recipe.from_dict({**RECIPE, "ema": {"epochs": 1.0}, "params": {"width": 3}}).save(path)
    ended = play(tmp_path, "--recipe", str(path), "--batch-size", "8")
    assert ended.code == 0, ended.err
    assert ended.out == "plain 7 cpu {'width': 3} . 8\n"
    lines = ended.err.splitlines()
    assert len(lines) == 4
    title = "sgd lr 0.1 (momentum 0.9) · cosine"
    assert lines[0].startswith(f"lrsearch: a plain run outside a study, recipe {path}: {title}")
    assert lines[1].startswith("lrsearch: epoch 1 · step 2 · lr 0.0933 · train_loss ")
    assert lines[1].endswith(" · val_loss 0.5 · val_loss (average) 0.25")


def test_without_a_recipe_it_says_where_to_put_one(tmp_path):
    ended = play(tmp_path)
    assert ended.code == 1
    last = ended.err.splitlines()[-1]
    assert "no recipe for this run; give it --recipe FILE, or LRSEARCH_RECIPE=FILE, or" in last


@pytest.mark.parametrize(
    ("given", "left", "found"),
    [
        (["t.py", "--recipe", "a.yaml", "--lr", "1"], ["t.py", "--lr", "1"], "a.yaml"),
        (["t.py", "x", "--recipe=b.json"], ["t.py", "x"], "b.json"),
        (["t.py", "--recipe"], ["t.py", "--recipe"], None),
        (["--recipe", "x"], ["--recipe", "x"], None),
        ([], [], None),
    ],
)
def test_the_option_is_taken_out_of_the_arguments(given, left, found):
    arguments = list(given)
    assert take_option(arguments) == found
    assert arguments == left


FUNCTION = """
import torch

def train(run, width=1):
    optimizer = run.build(torch.nn.Linear(2, width), steps_per_epoch=2)
    for epoch in run.epochs():
        for _ in range(2):
            optimizer.step()
        run.report(val_loss=0.5)
    print("width", width, "lr", run.lr)
"""


ARGUMENTS = "\nimport sys; print(*sys.argv)\n"


def alone(folder, *arguments, function=FUNCTION):
    (folder / "own.py").write_text(function)
    return run_module("lrsearch.own_loop.alone", *arguments, folder=folder)


def test_a_function_is_run_alone_with_the_params_that_it_takes(tmp_path):
    params = {"width": 3, "other": 1}
    Recipe.from_dict({**RECIPE, "params": params}).save(tmp_path / "best.yaml")
    ended = alone(tmp_path, "own.py:train", "--recipe", "best.yaml")
    assert ended.code == 0, ended.err
    assert ended.out == "width 3 lr 0.0\n"


def test_a_script_that_is_run_alone_has_its_own_arguments(tmp_path):
    Recipe.from_dict(RECIPE).save(tmp_path / "best.yaml")
    words = ("--dataset", "mnist", "--recipe", "best.yaml", "-v")
    ended = alone(tmp_path, "own.py:train", *words, function=FUNCTION + ARGUMENTS)
    assert ended.code == 0, ended.err
    assert ended.out.startswith("own.py --dataset mnist -v\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(("own.py:trian",), "no 'trian' in it; did you mean"), ((), "write FILE.py:function")],
)
def test_a_function_that_is_not_there_is_one_line(tmp_path, arguments, said):
    ended = alone(tmp_path, *arguments)
    assert ended.code == 1
    assert ended.err.splitlines()[-1].startswith("Error: ")
    assert said in ended.err
