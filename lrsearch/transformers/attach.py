"""The one call that a script with a Hugging Face Trainer adds."""

from collections.abc import Sequence

import transformers

from lrsearch.errors import TaskError
from lrsearch.own_loop.run import Run
from lrsearch.recipe.recipe import Recipe
from lrsearch.transformers.callback import Callback
from lrsearch.transformers.optimizers import Optimizers
from lrsearch.transformers.resume import Resuming


def attach(
    trainer: transformers.Trainer, run: Run, monitor: str | Sequence[str] = "eval_loss"
) -> None:
    """Let `trainer.train` train the run's recipe, report its evaluations, and end with the run.

    Call it once, before `train`. Optimizer and schedule are the recipe's, over the parameters that
    the trainer's own optimizer would train. The losses of training steps are told to the run.
    `monitor`: names among the metrics of an evaluation, reported after each one in training. Where
    the run is pruned, training stops on all ranks as the trainer stops by itself, and at its end
    `train` raises `lrsearch.Ended`. An interrupted run goes on at the top of its epoch.

    Raises TaskError where the trainer has another horizon or device than the run.
    """
    _require_same_length(trainer.args, run.recipe)
    _require_same_device(trainer, run)
    optimizers = Optimizers(run, trainer)
    resuming = Resuming(run, trainer)
    monitored = [monitor] if isinstance(monitor, str) else list(monitor)
    callback = Callback(run, trainer, resuming, monitored)
    trainer.set_initial_training_values = optimizers.set_initial_training_values
    trainer.create_optimizer = optimizers.create_optimizer
    trainer.create_scheduler = optimizers.create_scheduler
    trainer.training_step = callback.training_step
    if resuming.goes_on:
        trainer.train = resuming.train
        trainer._load_from_checkpoint = resuming.load_nothing
    trainer.add_callback(callback)


def _require_same_length(args: transformers.TrainingArguments, recipe: Recipe) -> None:
    if recipe.epochs is not None and (args.max_steps > 0 or args.num_train_epochs != recipe.epochs):
        given = (
            f"max_steps={args.max_steps}"
            if args.max_steps > 0
            else f"num_train_epochs={args.num_train_epochs:g}"
        )
        raise TaskError(
            f"the trainer has {given}, but the recipe {recipe.epochs} epochs; write "
            f"TrainingArguments(num_train_epochs=run.recipe.epochs)"
        )
    if recipe.epochs is None and args.max_steps != recipe.steps:
        raise TaskError(
            f"the trainer has max_steps={args.max_steps}, but the recipe {recipe.steps}; write "
            f"TrainingArguments(max_steps=run.recipe.steps)"
        )


def _require_same_device(trainer: transformers.Trainer, run: Run) -> None:
    mine, theirs = run.device, trainer.args.device
    if run.kind == "plain" or trainer.args.world_size > 1:
        return
    if trainer.args.n_gpu > 1 or (mine.type, mine.index or 0) != (theirs.type, theirs.index or 0):
        shown = f"{trainer.args.n_gpu} GPUs" if trainer.args.n_gpu > 1 else str(theirs)
        wanted = (
            "TrainingArguments(use_cpu=True)"
            if mine.type == "cpu"
            else f"os.environ['CUDA_VISIBLE_DEVICES'] = '{mine.index or 0}' before torch is used"
        )
        raise TaskError(
            f"the trainer is on {shown}, but the worker gave this run {mine}; write {wanted}"
        )
