"""The recipe's optimizer and schedule in place of those that a Trainer creates."""

import torch
import transformers
from torch import nn

from lrsearch.own_loop.parameters import Given
from lrsearch.own_loop.replaced import given_of
from lrsearch.own_loop.run import Run
from lrsearch.plain_data import Document, Fields


class Following:
    """Stands for the trainer's scheduler: the recipe's steps after each step by itself."""

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        self._optimizer = optimizer
        self.step()

    def step(self) -> None:
        """Take note of the learning rates that the recipe's schedule has set."""
        self._lrs = [float(group["lr"]) for group in self._optimizer.param_groups]

    def get_last_lr(self) -> list[float]:
        """As of the last call of `step`, like torch's schedulers: the trainer logs it."""
        return self._lrs

    def state_dict(self) -> Document:
        return {"lrs": self._lrs}

    def load_state_dict(self, state: Fields) -> None:
        (self._lrs,) = state.values()


class Optimizers:
    """Stands for the methods of a trainer that count its steps and create what takes them."""

    def __init__(self, run: Run, trainer: transformers.Trainer) -> None:
        self._run, self._trainer = run, trainer
        self._count = trainer.set_initial_training_values
        self._create = trainer.create_optimizer
        #: Whether the trainer's own rule says what has weight decay.
        self._is_standard = (
            trainer.optimizer is None
            and trainer.optimizer_cls_and_kwargs is None
            and type(trainer).create_optimizer is transformers.Trainer.create_optimizer
        )
        self._steps_per_epoch = 0

    def set_initial_training_values(self, *args: object, **options: object) -> tuple[float, ...]:
        """The trainer's own; its optimizer steps of an epoch count accumulation and devices."""
        values: tuple[float, ...] = self._count(*args, **options)
        self._steps_per_epoch = int(values[1])
        return values

    def create_optimizer(self, model: nn.Module | None = None) -> torch.optim.Optimizer:
        """The recipe's. Raises TaskError where it does not fit the parameters."""
        built = self._run.optimizers
        if built:
            return next(iter(built.values()))
        model = self._trainer.model if model is None else model
        self._run.keep(transformers_model=model)
        given = self._given(model)
        optimizer = self._run.build(given, steps_per_epoch=self._steps_per_epoch)
        self._trainer.optimizer = optimizer
        return optimizer

    def _given(self, model: nn.Module) -> Given:
        if not self._is_standard:
            self._create(model)
            return given_of(self._trainer.optimizer, model)
        decayed = set(self._trainer.get_decay_parameter_names(model))
        parameters = {n: p for n, p in model.named_parameters() if p.requires_grad}
        others = [p for name, p in parameters.items() if name not in decayed]
        if not others or not self._run.recipe.optimizer.get("weight_decay"):
            return model
        with_decay = [p for name, p in parameters.items() if name in decayed]
        without: Document = {"params": others, "weight_decay": 0.0}
        return [{"params": with_decay}, without] if with_decay else [without]

    def create_scheduler(
        self, num_training_steps: int, optimizer: torch.optim.Optimizer | None = None
    ) -> Following:
        following = Following(self.create_optimizer())
        self._trainer.lr_scheduler = following
        return following
