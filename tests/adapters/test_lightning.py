"""`lrsearch.lightning.Callback` in a real Trainer."""

import pytest
import torch
from fake_worker import FakeWorker, ends_at, make_run, saved_at
from hand_written_loops import batches, lrs_of_recipe
from torch.utils.data import DataLoader

from lrsearch.errors import TaskError
from lrsearch.own_loop.ended import Ended
from lrsearch.own_loop.messages import Boundary, Built, Diverged, Readings, Report

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def lit():
    """tests/lightning_modules.py, which imports Lightning."""
    import lightning_modules

    return lightning_modules


@pytest.mark.parametrize("schedule", ["cosine", "one_cycle", "linear"])
def test_learning_rates_are_those_of_the_recipe_step_by_step(lit, schedule):
    warmup = 0.0 if schedule == "one_cycle" else 0.2
    run, worker = make_run(recipe={"schedule": {"name": schedule}, "warmup": warmup})
    module, trainer = lit.fit(run)
    assert module.lrs == lrs_of_recipe(run.recipe, steps_per_epoch=8)
    assert worker.of(Built) == [Built(steps_per_epoch=8, total_steps=24)]
    assert [(r.step, r.epoch) for r in worker.of(Report)] == [(8, 1.0), (16, 2.0), (24, 3.0)]
    assert [b.epoch for b in worker.of(Boundary)] == [1.0, 2.0]
    assert worker.hints == []
    assert trainer.state.status == "finished"


@pytest.mark.parametrize(
    "options",
    [
        {"accumulate_grad_batches": 3},
        {"gradient_clip_val": 0.5},
        {"precision": "bf16-mixed"},
        {"val_check_interval": 0.5},
    ],
    ids=lambda options: next(iter(options)),
)
def test_learning_rates_are_those_of_the_recipe_under_the_trainers_options(lit, options):
    run, worker = make_run(recipe={"schedule": {"name": "one_cycle"}})
    module, _ = lit.fit(run, **options)
    steps = 3 if "accumulate_grad_batches" in options else 8
    assert module.lrs == lrs_of_recipe(run.recipe, steps_per_epoch=steps)
    assert worker.hints == []


def test_a_step_that_the_loss_scaler_skips_does_not_advance_the_schedule(lit):
    run, worker = make_run(recipe={"schedule": {"name": "linear"}})
    _, trainer = lit.fit(run, plugins=[lit.mixed_precision(backoff_factor=2.0**-20)])
    assert trainer.global_step == 24
    assert run.step == 23  # the first gradients overflow
    assert worker.of(Report)[-1].lr == lrs_of_recipe(run.recipe, steps_per_epoch=8)[22]
    assert 0.01 < worker.of(Report)[0].start_loss < 10  # without the scale


def test_the_losses_that_are_told_are_those_of_the_batches(lit):
    losses = []

    class Telling(lit.Module):
        def training_step(self, batch, batch_idx):
            loss = super().training_step(batch, batch_idx)
            losses.append(loss.item())
            return loss

    run, worker = make_run(recipe={"epochs": 1})
    lit.fit(run, Telling(), accumulate_grad_batches=2)
    [report] = worker.of(Report)
    assert report.start_loss == losses[0]
    assert report.train_loss == pytest.approx(sum(losses) / 8)


def test_a_pruned_run_stops_at_its_report_and_raises_after_fit(lit):
    run, worker = make_run(FakeWorker(ends_at(2)), recipe={"epochs": 9})
    hooks, module = lit.Hooks(), lit.Module()
    with pytest.raises(Ended) as ended:
        lit.fit(run, module, [hooks])
    assert ended.value.reason == "pruned"
    assert len(module.lrs) == run.step == 16
    assert [r.step for r in worker.of(Report)] == [8, 16]
    assert hooks.called == ["train end", "fit end"]


def test_a_pruned_run_stops_inside_an_epoch(lit):
    run, worker = make_run(FakeWorker(ends_at(3)), recipe={"epochs": 9})
    with pytest.raises(Ended):
        lit.fit(run, val_check_interval=0.25)
    assert [r.step for r in worker.of(Report)] == [2, 4, 6]
    assert run.step == 6


def test_a_trainer_that_must_go_on_is_ended_by_the_next_step(lit):
    run, _ = make_run(FakeWorker(ends_at(1)), recipe={"epochs": 9})
    with pytest.raises(Ended):
        lit.fit(run, min_epochs=5)
    assert run.step == 8


def fit_whatever_comes(lit, run):
    try:
        lit.fit(run)
    except Exception:
        pytest.fail("Ended was swallowed")


def test_a_script_that_swallows_exceptions_does_not_train_on(lit):
    run, _ = make_run(FakeWorker(ends_at(1)))
    for _ in range(2):
        with pytest.raises(Ended):
            fit_whatever_comes(lit, run)
    assert run.step == 8


def test_a_training_loss_that_diverges_ends_the_run(lit):
    run, worker = make_run()
    with pytest.raises(Ended) as ended:
        lit.fit(run, lit.Diverging(), loader=DataLoader(batches(), batch_size=1))
    assert ended.value.reason == "diverged"
    assert len(worker.of(Diverged)) == 1


def test_a_range_test_ends_at_the_end_of_its_ramp(lit):
    lrs = tuple(1e-4 * 1.5**i for i in range(12))
    run, worker = make_run(kind="range_test", lrs=lrs)
    module = lit.Module()
    with pytest.raises(Ended) as ended:
        lit.fit(run, module)
    assert ended.value.reason == "range_test"
    [readings] = worker.of(Readings)
    assert readings.lrs == lrs[: len(module.lrs)] == tuple(module.lrs)
    assert len(readings.losses) == len(readings.lrs)
    assert not worker.of(Report)


def test_groups_keep_what_they_say_about_lr_and_weight_decay(lit):
    run, _ = make_run(recipe={"optimizer": {"name": "sgd", "lr": 0.1, "weight_decay": 0.01}})
    _, trainer = lit.fit(run, lit.Grouped())
    groups = trainer.optimizers[0].param_groups
    shown = [(len(g["params"]), g["initial_lr"], g["weight_decay"]) for g in groups]
    assert shown == [(1, pytest.approx(0.01), 0.01), (1, 0.1, 0.01), (1, 0.1, 0.0)]
    assert trainer.lr_scheduler_configs == []


def test_a_module_that_calls_build_itself_keeps_what_it_built(lit):
    run, worker = make_run()
    module, trainer = lit.fit(run, lit.Building(run))
    assert [len(group["params"]) for group in trainer.optimizers[0].param_groups] == [2]
    assert module.lrs == lrs_of_recipe(run.recipe, steps_per_epoch=8)
    assert len(worker.of(Built)) == 1


def test_two_optimizers_follow_the_recipe_each(lit):
    run, _ = make_run()
    module, _ = lit.fit(run, lit.Gan())
    assert module.lrs == module.other_lrs == lrs_of_recipe(run.recipe, steps_per_epoch=8)
    assert run.step == 24
    assert list(run.optimizers) == ["main", "optimizer_1"]


def test_without_validation_the_report_comes_after_the_training_epoch(lit):
    class Trained(lit.Module):
        def training_step(self, batch, batch_idx):
            loss = super().training_step(batch, batch_idx)
            self.log("val_loss", loss, on_epoch=True)
            return loss

    run, worker = make_run()
    lit.fit(run, Trained(), limit_val_batches=0)
    assert [r.step for r in worker.of(Report)] == [8, 16, 24]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"max_epochs": 4}, "max_epochs=4, but the recipe 3; write Trainer(max_epochs=run.recipe"),
        ({"monitor": ["val_loss", "acc"]}, "monitor='acc' was not logged; logged are val_loss"),
    ],
)
def test_what_does_not_fit_is_said_in_one_line(lit, changes, said):
    run, _ = make_run()
    with pytest.raises(TaskError) as error:
        lit.fit(run, **changes)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_several_metrics_are_reported_under_their_names(lit):
    class Both(lit.Module):
        def validation_step(self, batch, batch_idx):
            super().validation_step(batch, batch_idx)
            self.log("val/acc", 0.5)

    run, worker = make_run()
    lit.fit(run, Both(), monitor=["val_loss", "val/acc"])
    assert [set(r.metrics) for r in worker.of(Report)] == [{"val_loss", "val/acc"}] * 3


def test_weights_are_to_the_bit_those_of_a_script_without_lrsearch(lit):
    run, _ = make_run(recipe={"optimizer": {"name": "adamw", "lr": 0.01}})
    mine, _ = lit.fit(run, lit.Ported(run.recipe))
    theirs, _ = lit.fit(run, lit.Ported(run.recipe), callbacks=None)
    assert mine.lrs == theirs.lrs
    for a, b in zip(mine.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize(
    "options",
    [{}, {"accumulate_grad_batches": 3}, {"val_check_interval": 0.5}, {"precision": "16-mixed"}],
    ids=lambda options: next(iter(options), "plain"),
)
@pytest.mark.parametrize("interrupted", [0, 1])
def test_an_interrupted_run_goes_on_to_the_same_bits(lit, interrupted, options, tmp_path):
    def trained(worker=None, **changes):
        if "precision" in options:
            given = {"plugins": [lit.mixed_precision(growth_interval=5)]}
        else:
            given = options
        optimizer = {"name": "adamw", "lr": 0.01}
        run, worker = make_run(worker, recipe={"optimizer": optimizer}, **changes)
        remembers = lit.Remembers()
        module, trainer = lit.fit(run, lit.WithState, [remembers], **given)
        return worker, module, trainer, remembers

    straight, module, trainer, remembers = trained()
    state = tmp_path / "state"
    with pytest.raises(Ended):
        trained(FakeWorker(saved_at(interrupted, state)))
    torch.rand(interrupted + 3)  # a fresh process is somewhere else
    resumed, again, trainer_again, remembers_again = trained(resume=str(state))
    values = [(r.step, r.epoch, r.lr, r.train_loss, r.metrics) for r in straight.of(Report)]
    values_again = [(r.step, r.epoch, r.lr, r.train_loss, r.metrics) for r in resumed.of(Report)]
    assert values_again == values[len(values) - len(values_again) :]
    assert len(values_again) == len(values) * (2 - interrupted) // 3
    for a, b in zip(module.parameters(), again.parameters(), strict=True):
        assert torch.equal(a, b)
    assert remembers_again.seen == remembers.seen
    assert again.batches_seen == module.batches_seen
    assert trainer_again.global_step == trainer.global_step
    assert trainer_again.current_epoch == trainer.current_epoch


def test_a_checkpoint_of_lightnings_own_is_refused(lit, tmp_path):
    run, _ = make_run()
    _, trainer = lit.fit(run)
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    run, _ = make_run(recipe={"epochs": 5})
    with pytest.raises(TaskError, match="the trainer is in epoch 3, but the run in epoch 0; leav"):
        lit.fit(run, ckpt_path=tmp_path / "last.ckpt")
