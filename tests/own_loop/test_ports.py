"""Scripts in the shapes that people have, ported by at most ten lines each: with the same recipe
and seed every weight and every printed number is that of the original, to the bit."""

import contextlib
import difflib
import gc
import io
import runpy
from pathlib import Path

import pytest
import torch
from fake_worker import FakeWorker, ends_at, make_run
from torch import nn

from lrsearch.own_loop.ended import Ended
from lrsearch.own_loop.messages import Finished, Report

SCRIPTS = Path(__file__).parent / "scripts"
IMPORT = ("import torch\n", "import torch\nfrom lrsearch import run\n")
#: Script to its recipe, and to the places of the original that are replaced.
PORTS = {
    "classifier": (
        {
            "optimizer": {"name": "sgd", "lr": 0.05, "momentum": 0.9},
            "schedule": {"name": "linear", "end_factor": 0.0},
        },
        [
            IMPORT,
            ("manual_seed(7)", "manual_seed(run.seed)"),
            (
                "torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)",
                "run.build(model, steps_per_epoch=len(loader))",
            ),
            ("    scheduler = LinearLR(optimizer, 1.0, 0.0, total_iters=3 * len(loader))\n", ""),
            ("        loss.backward()\n", "        loss.backward()\n        run.loss(loss)\n"),
            ("        scheduler.step()\n", ""),
            (", optimizer, scheduler)", ", optimizer)"),
            ("for epoch in range(3):", "for epoch in run.epochs():"),
            (
                'print(f"epoch {epoch} test loss {test(model, loader)}")',
                'val_loss = test(model, loader)\n        print(f"epoch {epoch} test loss '
                '{val_loss}")\n        run.report(val_loss=val_loss)',
            ),
        ],
    ),
    "vae": (
        {"optimizer": {"name": "adam", "lr": 1e-3}},
        [
            IMPORT,
            ("manual_seed(7)", "manual_seed(run.seed)"),
            ("optim.Adam(model.parameters(), lr=1e-3)", "run.build(model, steps_per_epoch=4)"),
            ("        loss.backward()\n", "        loss.backward()\n        run.loss(loss)\n"),
            ("for epoch in range(1, 4):", "for epoch in run.epochs():"),
            ("    test(epoch)\n", "    run.report(val_loss=test(epoch))\n"),
        ],
    ),
    "words": (
        {"optimizer": {"name": "sgd", "lr": 2.0}},
        [
            IMPORT,
            ("manual_seed(7)", "manual_seed(run.seed)"),
            ("lr = 2.0\n", "optimizer = run.build(model, steps_per_epoch=6)\n"),
            (
                "        for p in model.parameters():\n"
                "            p.data.add_(p.grad, alpha=-lr)\n",
                "        run.loss(loss)\n        optimizer.step()\n",
            ),
            ("for epoch in range(1, 4):", "for epoch in run.epochs():"),
            (
                "    print(",
                "    val_loss = evaluate()\n    run.report(val_loss=val_loss)\n    print(",
            ),
            ("{epoch:3d} | valid loss {evaluate():", "{epoch + 1:3d} | valid loss {val_loss:"),
        ],
    ),
    "gpt": (
        {
            "optimizer": {"name": "adamw", "lr": 1e-3, "betas": [0.9, 0.95], "weight_decay": 0.1},
            "epochs": None,
            "steps": 12,
        },
        [
            IMPORT,
            ("manual_seed(7)", "manual_seed(run.seed)"),
            (
                "torch.optim.AdamW(groups, lr=learning_rate, betas=(0.9, 0.95))",
                "run.build(groups, steps_per_epoch=eval_interval)",
            ),
            ("for iter_num in range(max_iters):", "for iter_num in run.steps():"),
            (
                "        scaler.scale(loss).backward()\n",
                "        scaler.scale(loss).backward()\n        run.loss(loss * accumulation)\n",
            ),
            (
                "        val_loss = estimate_loss()\n",
                "        val_loss = estimate_loss()\n        run.report(val_loss=val_loss)\n",
            ),
        ],
    ),
    "gan": (
        {"optimizer": {"name": "adam", "lr": 2e-3, "betas": [0.5, 0.999]}},
        [
            IMPORT,
            ("seed = 7", "seed = run.seed"),
            (
                "torch.optim.Adam(discriminator.parameters(), lr=2e-3, betas=(0.5, 0.999))",
                'run.build(discriminator, steps_per_epoch=len(dataloader), role="D")',
            ),
            (
                "torch.optim.Adam(generator.parameters(), lr=2e-3, betas=(0.5, 0.999))",
                'run.build(generator, steps_per_epoch=len(dataloader), role="G")',
            ),
            ("for epoch in range(3):", "for epoch in run.epochs():"),
            ("        loss.backward()\n", "        loss.backward()\n        run.loss(loss)\n"),
            ("    print(", "    run.report(distance=distance)\n    print("),
        ],
    ),
    "finetune": (
        {"optimizer": {"name": "sgd", "lr": 0.1, "weight_decay": 1e-3}},
        [
            IMPORT,
            ("manual_seed(7)", "manual_seed(run.seed)"),
            ('"lr": 0.01', '"lr_scale": 0.1'),
            (
                "torch.optim.SGD(groups, lr=0.1, weight_decay=1e-3)",
                "run.build(groups, steps_per_epoch=len(loader))",
            ),
            ("for epoch in range(3):", "for epoch in run.epochs():"),
            (
                "            optimizer.step()\n",
                "            run.loss(loss)\n            optimizer.step()\n",
            ),
            ("        print(", "        run.report(accuracy=accuracy)\n        print("),
        ],
    ),
}
METRICS = {"gan": "distance", "finetune": "accuracy"}


def original(name):
    return (SCRIPTS / f"{name}.py").read_text()


def ported(name):
    text = original(name)
    for old, new in PORTS[name][1]:
        assert old in text
        text = text.replace(old, new)
    return text


def play(path, monkeypatch, run=None):
    """What a script prints, and the weights of the modules that it makes, in their order."""
    made = []
    init = nn.Module.__init__

    def remember(module, *args, **kwargs):
        init(module, *args, **kwargs)
        made.append(module)

    printed = io.StringIO()
    with monkeypatch.context() as patched, contextlib.redirect_stdout(printed):
        patched.setattr(nn.Module, "__init__", remember)
        if run is not None:
            patched.setattr("lrsearch.own_loop.run.run", run)
        runpy.run_path(str(path), run_name="__main__")
    gc.collect()
    weights = [p.detach() for m in made for p in m._parameters.values() if p is not None]
    return printed.getvalue(), weights


def port(name, folder):
    path = folder / f"{name}.py"
    path.write_text(ported(name))
    return path


@pytest.mark.parametrize("name", PORTS)
def test_a_port_has_at_most_ten_new_lines(name):
    lines = difflib.unified_diff(original(name).splitlines(), ported(name).splitlines(), n=0)
    new = [line for line in lines if line.startswith("+") and not line.startswith("+++")]
    assert 0 < len(new) <= 10


@pytest.mark.parametrize("name", PORTS)
def test_a_port_gives_what_the_original_does(name, tmp_path, monkeypatch):
    run, worker = make_run(recipe=recipe_of(name), metric=METRICS.get(name, "val_loss"))
    path = port(name, tmp_path)
    expected, weights = play(SCRIPTS / f"{name}.py", monkeypatch)
    printed, found = play(path, monkeypatch, run)
    assert lines_of(printed) == lines_of(expected)
    assert len(weights) > 3
    torch.testing.assert_close(found, weights, rtol=0, atol=0)
    run._loop.finish()
    assert len(worker.of(Report)) == 3
    assert worker.of(Report)[0].train_loss > 0
    assert worker.of(Finished)[0].epoch == 3.0
    assert worker.hints == []


def recipe_of(name):
    return {"schedule": {"name": "constant"}, **PORTS[name][0]}


def lines_of(printed):
    assert len(printed.splitlines()) == 3
    return printed.splitlines()


@pytest.mark.parametrize("name", PORTS)
def test_a_port_that_is_pruned_stops_at_its_report(name, tmp_path, monkeypatch):
    metric = METRICS.get(name, "val_loss")
    run, worker = make_run(FakeWorker(ends_at(2)), recipe=recipe_of(name), metric=metric)
    with pytest.raises(Ended):
        play(port(name, tmp_path), monkeypatch, run)
    assert len(worker.of(Report)) == 2
