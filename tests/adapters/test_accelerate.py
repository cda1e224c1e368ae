"""accelerate needs no adapter: it prepares the optimizer that `run.build` gives."""

import pytest
import torch
from accelerate import Accelerator
from fake_worker import FakeWorker, ends_at, make_run
from hand_written_loops import Net, batches, lrs_of_recipe
from torch.utils.data import DataLoader

from lrsearch.own_loop.ended import Ended
from lrsearch.own_loop.messages import Report


def train(run, accelerator):
    """The loop of accelerate's examples; the learning rate at each batch, and the model."""
    torch.manual_seed(run.seed)
    model, loader = Net(), DataLoader(batches(), batch_size=4, shuffle=True)
    optimizer = run.build(model, steps_per_epoch=8 // accelerator.gradient_accumulation_steps)
    model, optimizer, loader = accelerator.prepare(model, optimizer, loader)
    lrs = []
    for _ in run.epochs():
        for x, y in loader:
            with accelerator.accumulate(model):
                loss = (model(x) - y).square().mean()
                accelerator.backward(loss)
                run.loss(loss)
                lrs.append(optimizer.param_groups[0]["lr"])
                optimizer.step()
                optimizer.zero_grad()
        run.report(val_loss=loss)
    return lrs, model


@pytest.mark.parametrize("accumulated", [1, 2])
def test_a_prepared_optimizer_follows_the_recipe(accumulated):
    run, worker = make_run(recipe={"schedule": {"name": "one_cycle"}})
    lrs, _ = train(run, Accelerator(cpu=True, gradient_accumulation_steps=accumulated))
    assert lrs[accumulated - 1 :: accumulated] == lrs_of_recipe(run.recipe, 8 // accumulated)
    assert run.step == 24 // accumulated
    assert worker.hints == []


def test_a_step_that_the_loss_scaler_skips_does_not_advance_the_schedule():
    run, _ = make_run(recipe={"schedule": {"name": "linear"}})
    accelerator = Accelerator(cpu=True)
    # What accelerate makes for mixed_precision="fp16", which it has on accelerators alone; the
    # scale is so high that the first gradients overflow.
    accelerator.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**127, backoff_factor=2.0**-110)
    lrs, _ = train(run, accelerator)
    expected = lrs_of_recipe(run.recipe, steps_per_epoch=8)
    assert lrs == [expected[0], *expected[:-1]]
    assert run.step == 23


def test_a_pruned_run_ends_in_its_report():
    run, worker = make_run(FakeWorker(ends_at(2)))
    with pytest.raises(Ended):
        train(run, Accelerator(cpu=True))
    assert [r.step for r in worker.of(Report)] == [8, 16]
