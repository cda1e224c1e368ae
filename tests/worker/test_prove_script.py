"""A training script proves that it can be resumed, in real processes."""

import pytest
import torch

from lrsearch.errors import TaskError
from lrsearch.recipe.recipe import Recipe
from lrsearch.spec.study_spec import StudySpec
from lrsearch.task.script import load_script
from lrsearch.worker.scripts.proof import prove_script

SCRIPT = """
import torch
from torch import nn
from lrsearch import run

torch.manual_seed(run.seed)
x = torch.randn(24, 3)
model = nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.Dropout(0.3), nn.Linear(8, 1))
optimizer = run.build(model, steps_per_epoch=6)
hidden = torch.zeros(1)
BEFORE
for epoch in run.epochs():
    for batch in x.split(4):
        optimizer.zero_grad()
        loss = (model(batch) + hidden - batch.sum(1, keepdim=True)).square().mean()
        loss.backward()
        optimizer.step()
        hidden = loss.detach().tanh()
        INSIDE
    run.report(val_loss=loss)
    REPORTED
"""
RECIPE = {"optimizer": {"name": "adam", "lr": 0.01}, "schedule": {"name": "cosine"}}


def proof_of(folder, *, keeps="pass", reported="pass", length=None):
    text = SCRIPT.replace("BEFORE", keeps).replace("INSIDE", keeps).replace("REPORTED", reported)
    (folder / "train.py").write_text(text)
    length = length or {"epochs": 9}
    content = {"name": "proof", "train": "train.py", "budget": {"trials": 2}, **length}
    recipe = Recipe.from_dict({**RECIPE, **length}, where="here")
    return prove_script(
        StudySpec.from_dict(content, where="here"),
        load_script("train.py", folder),
        torch.device("cpu"),
        recipe,
        steps_per_epoch=6,
    )


@pytest.mark.slow
def test_a_script_that_keeps_what_it_carries_is_exact(tmp_path):
    proof = proof_of(tmp_path, keeps="hidden = run.keep(hidden=hidden)")
    assert proof.exact, proof.line


def test_a_script_that_does_not_is_told_the_line_to_add(tmp_path):
    proof = proof_of(tmp_path)
    assert not proof.exact
    assert {"model", "reports"} <= set(proof.differs)
    assert "write hidden = run.keep(hidden=hidden) above the loop" in proof.line


@pytest.mark.slow
def test_a_script_that_fails_in_its_second_epoch_is_an_error_of_one_line(tmp_path):
    with pytest.raises(TaskError, match=r"resume cannot be proved: ZeroDivisionError: .*train.py:"):
        proof_of(tmp_path, reported="1 / (1 - epoch)")
