"""`lrsearch.transformers.attach` on a real Hugging Face Trainer, with a tiny model."""

import fake_worker
import pytest
import torch
import transformers
from fake_worker import FakeWorker, ends_at, saved_at
from hand_written_loops import lrs_of_recipe
from torch.utils.data import Dataset
from transformers import EarlyStoppingCallback, GPT2Config, GPT2LMHeadModel, TrainingArguments

from lrsearch.errors import TaskError
from lrsearch.own_loop.ended import Ended
from lrsearch.own_loop.messages import Boundary, Built, Readings, Report
from lrsearch.transformers import attach

pytestmark = pytest.mark.filterwarnings("ignore")
STEPS = 4


def make_run(worker=None, **changes):
    return fake_worker.make_run(worker, **{"metric": "eval_loss", **changes})


class Sentences(Dataset):
    """Numbers that count up: a language that can be learned."""

    def __init__(self, count):
        self.count = count

    def __len__(self):
        return self.count

    def __getitem__(self, i):
        tokens = (torch.arange(8) + i) % 16
        return {"input_ids": tokens, "labels": tokens}


def tiny_gpt():
    config = GPT2Config(
        vocab_size=16, n_positions=8, n_embd=8, n_layer=1, n_head=2, bos_token_id=0, eos_token_id=0
    )
    return GPT2LMHeadModel(config)


class Lrs(transformers.TrainerCallback):
    """The learning rate of each step."""

    def __init__(self):
        self.lrs = []

    def on_pre_optimizer_step(self, args, state, control, optimizer, **_):
        self.lrs.append(optimizer.param_groups[0]["lr"])


def trainer_of(run, folder, *, trainer=transformers.Trainer, callbacks=(), **options):
    made = {
        "output_dir": str(folder / "out"),
        "num_train_epochs": run.recipe.epochs or 3,
        "per_device_train_batch_size": 4,
        "eval_strategy": "epoch",
        "save_strategy": "no",
        "logging_steps": 1,
        "report_to": "none",
        "disable_tqdm": True,
        "use_cpu": True,
        "seed": run.seed,
        **options,
    }
    transformers.set_seed(run.seed)
    own = {key: made.pop(key) for key in ("optimizers", "compute_metrics") if key in made}
    return trainer(
        model=tiny_gpt(),
        args=TrainingArguments(**made),
        train_dataset=Sentences(4 * STEPS),
        eval_dataset=Sentences(8),
        callbacks=list(callbacks),
        **own,
    )


def train(run, folder, monitor="eval_loss", **options):
    lrs = Lrs()
    options["callbacks"] = [lrs, *options.get("callbacks", ())]
    trainer = trainer_of(run, folder, **options)
    attach(trainer, run, monitor)
    trainer.lrs = lrs.lrs
    try:
        trainer.train()
    except Ended as ended:
        trainer.ended = ended.reason
    return trainer


@pytest.mark.parametrize(
    "options",
    [{}, {"gradient_accumulation_steps": 3}, {"bf16": True}, {"max_grad_norm": 0.1}],
    ids=lambda options: next(iter(options), "plain"),
)
def test_learning_rates_are_those_of_the_recipe_step_by_step(options, tmp_path):
    run, worker = make_run(recipe={"schedule": {"name": "cosine"}, "warmup": 0.2})
    trainer = train(run, tmp_path, **options)
    steps = 2 if "gradient_accumulation_steps" in options else STEPS
    expected = lrs_of_recipe(run.recipe, steps_per_epoch=steps)
    assert trainer.lrs == expected
    logged = [log["learning_rate"] for log in trainer.state.log_history if "loss" in log]
    assert logged == expected
    assert worker.of(Built) == [Built(steps_per_epoch=steps, total_steps=3 * steps)]
    assert [(r.step, r.epoch) for r in worker.of(Report)] == [
        (steps * epoch, float(epoch)) for epoch in (1, 2, 3)
    ]
    assert [b.epoch for b in worker.of(Boundary)] == [1.0, 2.0]
    assert worker.hints == []


def test_weights_are_to_the_bit_those_of_a_script_without_lrsearch(tmp_path):
    recipe = {"optimizer": {"name": "adamw", "lr": 0.01, "weight_decay": 0.0}}
    run, _ = make_run(recipe=recipe)
    mine = train(run, tmp_path)
    transformers.set_seed(run.seed)
    theirs = trainer_of(run, tmp_path)
    theirs.optimizer, theirs.lr_scheduler = run.recipe.build(theirs.model, steps_per_epoch=STEPS)
    theirs.train()
    for a, b in zip(mine.model.parameters(), theirs.model.parameters(), strict=True):
        assert torch.equal(a, b)
    evaluated = [
        [log["eval_loss"] for log in trainer.state.log_history if "eval_loss" in log]
        for trainer in (mine, theirs)
    ]
    assert len(evaluated[0]) == 3
    assert evaluated[0] == evaluated[1]


def test_a_pruned_run_stops_at_its_report_and_raises_after_train(tmp_path):
    ends = []

    class Ends(transformers.TrainerCallback):
        def on_train_end(self, args, state, control, **_):
            ends.append(state.global_step)

    run, worker = make_run(FakeWorker(ends_at(2)), recipe={"epochs": 9})
    trainer = train(run, tmp_path, callbacks=[Ends()])
    assert trainer.ended == "pruned"
    assert len(trainer.lrs) == run.step == 2 * STEPS
    assert [r.step for r in worker.of(Report)] == [STEPS, 2 * STEPS]
    assert ends == [2 * STEPS]


def test_a_pruned_run_stops_inside_an_epoch(tmp_path):
    run, worker = make_run(FakeWorker(ends_at(3)), recipe={"epochs": 9})
    train(run, tmp_path, eval_strategy="steps", eval_steps=2)
    assert run.step == 6
    assert [r.step for r in worker.of(Report)] == [2, 4, 6]


def test_a_run_that_is_over_does_not_train_again(tmp_path):
    run, _ = make_run(FakeWorker(ends_at(1)))
    trainer = train(run, tmp_path)
    with pytest.raises(Ended):
        trainer.train()
    assert run.step == STEPS


def test_the_loss_of_a_step_is_that_of_its_accumulated_batches(tmp_path):
    run, worker = make_run(recipe={"epochs": 1})
    trainer = train(run, tmp_path, gradient_accumulation_steps=2)
    logged = [log["loss"] for log in trainer.state.log_history if "loss" in log]
    [report] = worker.of(Report)
    assert report.start_loss == pytest.approx(logged[0], rel=1e-3)  # rounded in the log
    assert report.train_loss == pytest.approx(sum(logged) / len(logged), rel=1e-3)


def test_a_range_test_ends_at_the_end_of_its_ramp(tmp_path):
    lrs = tuple(1e-4 * 1.5**i for i in range(10))
    run, worker = make_run(kind="range_test", lrs=lrs)
    trainer = train(run, tmp_path)
    assert trainer.ended == "range_test"
    assert trainer.lrs == list(lrs)
    [readings] = worker.of(Readings)
    assert readings.lrs == lrs


def test_bias_and_norms_have_no_weight_decay_as_in_the_trainer(tmp_path):
    run, _ = make_run(recipe={"optimizer": {"name": "adamw", "lr": 0.01, "weight_decay": 0.3}})
    trainer = train(run, tmp_path)
    decayed, others = run.optimizers["main"].param_groups
    assert (decayed["weight_decay"], others["weight_decay"]) == (0.3, 0.0)
    names = trainer.get_decay_parameter_names(trainer.model)
    assert len(decayed["params"]) == len(set(names) & dict(trainer.model.named_parameters()).keys())


class LayerwiseTrainer(transformers.Trainer):
    """Has groups of its own: the first layers at a tenth of the learning rate."""

    def create_optimizer(self, model=None):
        head, *rest = list(self.model.parameters())[::-1]
        groups = [{"params": [head]}, {"params": rest, "lr": 1e-5}]
        self.optimizer = torch.optim.AdamW(groups, lr=1e-4)
        return self.optimizer


def test_groups_of_a_trainers_own_keep_the_ratio_of_their_learning_rates(tmp_path):
    run, _ = make_run()
    train(run, tmp_path, trainer=LayerwiseTrainer)
    first, second = run.optimizers["main"].param_groups
    assert first["initial_lr"] == run.recipe.lr
    assert second["initial_lr"] == pytest.approx(run.recipe.lr / 10)


def test_what_else_the_trainer_does_stays(tmp_path):
    run, worker = make_run(recipe={"epochs": 9})
    stopping = EarlyStoppingCallback(early_stopping_patience=1, early_stopping_threshold=9.0)
    trainer = train(
        run,
        tmp_path,
        callbacks=[stopping],
        load_best_model_at_end=True,
        save_strategy="epoch",
        metric_for_best_model="eval_loss",
    )
    assert not hasattr(trainer, "ended")
    assert len(worker.of(Report)) == 2
    assert trainer.state.best_model_checkpoint


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"num_train_epochs": 4}, "num_train_epochs=4, but the recipe 3 epochs; write Training"),
        ({"max_steps": 7}, "max_steps=7, but the recipe 3 epochs; write TrainingArguments(num_"),
        ({"monitor": "eval_f1"}, "monitor='eval_f1' is no metric of the evaluation, which has ev"),
    ],
)
def test_what_does_not_fit_is_said_in_one_line(options, said, tmp_path):
    run, _ = make_run()
    with pytest.raises(TaskError) as error:
        train(run, tmp_path, **options)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_a_recipe_that_counts_steps(tmp_path):
    run, worker = make_run(recipe={"epochs": None, "steps": 10})
    trainer = train(run, tmp_path, num_train_epochs=3, max_steps=10)
    assert trainer.lrs == lrs_of_recipe(run.recipe, steps_per_epoch=STEPS)
    assert worker.of(Built) == [Built(steps_per_epoch=STEPS, total_steps=10)]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"gradient_accumulation_steps": 3},
        {"eval_strategy": "steps", "eval_steps": 3},
        {"callbacks": [EarlyStoppingCallback]},
    ],
    ids=lambda options: next(iter(options), "plain"),
)
@pytest.mark.parametrize("interrupted", [0, 1])
def test_an_interrupted_run_goes_on_to_the_same_bits(interrupted, options, tmp_path):
    recipe = {"optimizer": {"name": "adamw", "lr": 0.01, "weight_decay": 0.1}}

    def trained(worker=None, **changes):
        run, worker = make_run(worker, recipe=recipe, **changes)
        given = dict(options)
        if "callbacks" in options:
            given["callbacks"] = [EarlyStoppingCallback(2, early_stopping_threshold=9.0)]
            given.update(metric_for_best_model="eval_loss", save_strategy="epoch")
            given.update(load_best_model_at_end=True)
        return train(run, tmp_path, **given), worker

    straight, worker = trained()
    state = tmp_path / "state"
    stopped, _ = trained(FakeWorker(saved_at(interrupted, state)))
    assert stopped.ended == "stopped"
    torch.rand(interrupted + 3)  # a fresh process is somewhere else
    resumed, worker_again = trained(resume=str(state))
    values = [(r.step, r.epoch, r.lr, r.train_loss, r.metrics) for r in worker.of(Report)]
    again = [(r.step, r.epoch, r.lr, r.train_loss, r.metrics) for r in worker_again.of(Report)]
    assert again == values[len(values) - len(again) :]
    assert 0 < len(again) < len(values)
    for a, b in zip(straight.model.parameters(), resumed.model.parameters(), strict=True):
        assert torch.equal(a, b)
    assert resumed.state.global_step == straight.state.global_step
    losses = [
        [log.get("loss", log.get("eval_loss")) for log in trainer.state.log_history[:-1]]
        for trainer in (straight, resumed)
    ]
    assert losses[0] == losses[1]


def test_a_checkpoint_of_the_trainers_own_is_refused(tmp_path):
    run, _ = make_run(recipe={"epochs": 1})
    trainer = train(run, tmp_path, save_strategy="epoch")
    run, _ = make_run()
    trainer = trainer_of(run, tmp_path)
    attach(trainer, run)
    with pytest.raises(TaskError, match="the trainer is in epoch 1, but the run in epoch 0; leave"):
        trainer.train(resume_from_checkpoint=True)
