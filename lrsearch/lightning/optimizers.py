"""The recipe's optimizers in place of those that a LightningModule configures."""

import math
from collections.abc import Callable, Iterator, Mapping

import lightning.pytorch as L
import torch

from lrsearch.errors import TaskError
from lrsearch.own_loop.replaced import given_of
from lrsearch.own_loop.run import Run
from lrsearch.plain_data import Unchecked
from lrsearch.recipe.recipe import Recipe


class Optimizers:
    """Stands for `configure_optimizers` of a module."""

    def __init__(
        self,
        run: Run,
        trainer: L.Trainer,
        module: L.LightningModule,
        configure: Callable[[], Unchecked],
    ) -> None:
        self._run, self._trainer, self._module = run, trainer, module
        self._configure = configure

    def __call__(self) -> list[torch.optim.Optimizer]:
        """Those of the recipe. Raises TaskError where the module configures none."""
        own = list(_found(self._configure()))
        if not own:
            raise TaskError(
                "configure_optimizers returned no optimizer; return one over the parameters to "
                "train, such as torch.optim.SGD(self.parameters()), and the recipe's replaces it"
            )
        built = list(self._run.optimizers.values())
        if all(any(mine is theirs for theirs in built) for mine in own):
            return own  # the module has called run.build itself
        steps = steps_per_epoch(self._trainer)
        return [
            self._run.build(given_of(optimizer, self._module), steps_per_epoch=steps, role=_role(i))
            for i, optimizer in enumerate(own)
        ]


def _role(i: int) -> str:
    return "main" if i == 0 else f"optimizer_{i}"


def _found(given: Unchecked) -> Iterator[torch.optim.Optimizer]:
    """Optimizers in any form that Lightning accepts; schedulers are passed over."""
    if isinstance(given, torch.optim.Optimizer):
        yield given
    elif isinstance(given, Mapping):
        yield from _found(given.get("optimizer"))
    elif isinstance(given, list | tuple):
        for item in given:
            yield from _found(item)


def steps_per_epoch(trainer: L.Trainer) -> int:
    """Optimizer steps, accumulation counted. Raises TaskError for loaders without a length."""
    # Reading it loads the train dataloader, as Lightning's documentation says.
    _ = trainer.estimated_stepping_batches
    batches: float = trainer.num_training_batches
    accumulated: int = trainer.accumulate_grad_batches
    if math.isinf(batches):
        raise TaskError(
            "the train dataloader has no length; write Trainer(limit_train_batches=N) with the "
            "batches of an epoch"
        )
    return math.ceil(batches / accumulated)


def require_same_length(trainer: L.Trainer, recipe: Recipe) -> None:
    """Raises TaskError where the trainer's horizon is not the recipe's."""
    if trainer.fast_dev_run:
        return
    if recipe.epochs is not None and trainer.max_epochs != recipe.epochs:
        raise TaskError(
            f"the trainer has max_epochs={trainer.max_epochs}, but the recipe {recipe.epochs}; "
            f"write Trainer(max_epochs=run.recipe.epochs)"
        )
    if recipe.epochs is None and trainer.max_steps != recipe.steps:
        raise TaskError(
            f"the trainer has max_steps={trainer.max_steps}, but the recipe {recipe.steps}; "
            f"write Trainer(max_steps=run.recipe.steps)"
        )
