"""What a script does that spoils its trials is said once, with the line to change."""

import runpy

import pytest
import torch
from fake_worker import make_run

from lrsearch.own_loop.ended import Ended
from lrsearch.own_loop.messages import Failed, Hint

SCRIPT = """
import torch
from torch import nn
from torch.optim.lr_scheduler import StepLR

torch.manual_seed(SEED)
model = nn.Linear(2, 1)
optimizer = run.build(model, steps_per_epoch=STEPS)
# made
for epoch in run.epochs():
    # top
    for _ in range(10):
        optimizer.zero_grad()
        loss = model(torch.randn(4, 2)).square().mean()
        loss.backward()
        # before
        optimizer.step()
        # after
    run.report(METRICS)
"""


def play(folder, *, seed="run.seed", steps="10", metrics="val_loss=loss", **inserted):
    """The hints, and what failed, of the script with these lines in the places of its comments."""
    text = SCRIPT.replace("SEED", seed).replace("STEPS", steps).replace("METRICS", metrics)
    for place, line in inserted.items():
        text = text.replace(f"# {place}\n", f"{line}\n")
    path = folder / "train.py"
    path.write_text(text)
    run, worker = make_run()
    try:
        runpy.run_path(str(path), init_globals={"run": run})
    except Ended:
        assert worker.of(Failed)
    else:
        run._loop.finish()
    assert all("\n" not in text for text in worker.hints)
    return worker.hints, [failed.error for failed in worker.of(Failed)]


def test_a_script_as_it_should_be_gets_no_hint(tmp_path):
    assert play(tmp_path) == ([], [])


@pytest.mark.parametrize(
    ("lines", "starts", "ends"),
    [
        (
            {"before": "for group in optimizer.param_groups: group['lr'] = 0.03"},
            "lr is 0.03 before step 1, but the recipe's schedule set 0.1: the script writes "
            "param_group['lr'] (train.py:16); take that out",
            "follows the recipe's schedule by itself",
        ),
        (
            {"made": "own = StepLR(optimizer, 3, gamma=0.5)", "after": "own.step()"},
            "lr is 0.04878 before step 4, but",
            "",
        ),
        (
            {"made": "class T: pass\nT.own = own = StepLR(optimizer, 1)", "after": "T.own.step()"},
            "lr is 0.009973 before step 2",
            "",
        ),
        (
            {"top": "run.report(val_loss=1.0)"},
            "train.py:11: run.report came before the first optimizer step",
            "pays for it",
        ),
        ({"seed": "3"}, "the script seeded torch with 3 (train.py:6), and not with run.seed", ""),
        (
            {"steps": "20"},
            "an epoch had 10 optimizer steps, but run.build got steps_per_epoch=20",
            "give 10",
        ),
        (
            {"made": "other = run.build(nn.Linear(1, 1), steps_per_epoch=10, role='G')"},
            "the optimizer that run.build made for role 'G' was never stepped",
            "",
        ),
        (
            {"made": "optimizer = torch.optim.SGD(model.parameters(), lr=0.1)"},
            "train.py:19: run.report came before the first optimizer step",
            "",
        ),
    ],
)
def test_it_is_said_with_the_line(tmp_path, lines, starts, ends):
    hints, failed = play(tmp_path, **lines)
    assert hints[0].startswith(starts)
    assert hints[0].endswith(ends)
    assert not failed


def test_a_scheduler_of_the_scripts_own_is_named(tmp_path):
    [hint] = play(tmp_path, made="own = StepLR(optimizer, 3, gamma=0.5)", after="own.step()")[0]
    assert "the script steps a scheduler of its own (train.py:18); take it out" in hint


def test_an_optimizer_that_never_steps_is_named_at_the_second_report(tmp_path):
    lines = {"made": "optimizer = torch.optim.SGD(model.parameters(), lr=0.1)"}
    assert "train.py:19: run.report came 2 times" in play(tmp_path, **lines)[0][1]


def test_a_seed_derived_from_the_runs_is_fine(tmp_path):
    assert play(tmp_path, seed="run.seed + 1") == ([], [])


def test_a_script_that_builds_nothing_is_told(tmp_path):
    made = "optimizer = torch.optim.SGD(model.parameters(), lr=0.1)"
    text = SCRIPT.replace("optimizer = run.build(model, steps_per_epoch=STEPS)", made)
    path = tmp_path / "train.py"
    path.write_text(text.replace("SEED", "run.seed").replace("METRICS", "val_loss=loss"))
    run, worker = make_run()
    runpy.run_path(str(path), init_globals={"run": run})
    [hint] = worker.hints
    assert hint.startswith("train.py:19: run.report came, but run.build was not called")


@pytest.mark.parametrize("metrics", ["accuracy=0.5", "loss=loss, f1=0.1", ""])
def test_a_report_without_the_objective_fails(tmp_path, metrics):
    hints, [error] = play(tmp_path, metrics=metrics)
    names = ", ".join(part.partition("=")[0] for part in metrics.split(", ")) or "nothing"
    assert error == (
        f"train.py:19: run.report gave {names}, but the study's objective is val_loss; write "
        f"run.report(val_loss=...)"
    )
    assert not hints


def test_torch_is_not_slowed_by_the_look_for_hints():
    """A hint is looked for by comparing numbers; files are read once one is found."""
    run, worker = make_run()
    optimizer = run.build(torch.nn.Linear(1, 1), steps_per_epoch=1000)
    for _ in range(20):
        optimizer.param_groups[0].update(lr=0.5)
        optimizer.step()
    assert len(worker.of(Hint)) == 1


def test_a_line_in_a_module_beside_the_script_is_found(tmp_path, monkeypatch):
    (tmp_path / "lr_helper.py").write_text("def f(o):\n    o.param_groups[0]['lr'] *= 2\n")
    monkeypatch.syspath_prepend(tmp_path)
    hints, _ = play(tmp_path, made="from lr_helper import f", before="f(optimizer)")
    assert "writes param_group['lr'] (lr_helper.py:2)" in hints[0]
