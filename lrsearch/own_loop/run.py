"""`lrsearch.run`: what a training loop of the user's own calls."""

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Literal, overload

import torch
from torch import Tensor
from torch.utils._pytree import PyTree

from lrsearch.own_loop import standalone
from lrsearch.own_loop.channel import SOCKET
from lrsearch.own_loop.iterators import Epochs, Steps
from lrsearch.own_loop.line import Ranks
from lrsearch.own_loop.loaders import Batch, Batches, Numbered
from lrsearch.own_loop.loop import Loop
from lrsearch.own_loop.messages import RunKind
from lrsearch.own_loop.parameters import Given
from lrsearch.own_loop.session import Session
from lrsearch.plain_data import Document
from lrsearch.recipe.recipe import Recipe


class Run:
    """One run of a training loop: a trial of a study, or a plain run of a recipe.

    In a study the worker says what to train. Outside one the recipe is that of `--recipe FILE`, of
    the environment variable LRSEARCH_RECIPE, or the `baseline` of a study file beside the script.
    Every method raises `Ended` once the run is over.
    """

    def __init__(self) -> None:
        self._bound: Loop | None = None

    def bind(self, session: Session) -> Loop:
        """Let the calls of this process be about this session, as the launcher does."""
        self._bound = Loop(session)
        return self._bound

    @property
    def _loop(self) -> Loop:
        return self.bind(_session()) if self._bound is None else self._bound

    @property
    def seed(self) -> int:
        """What the script seeds its random generators with; another one in each confirmation."""
        return self._loop.session.seed

    @property
    def device(self) -> torch.device:
        """Where to train: the worker's device; of several ranks each has its own."""
        return self._loop.session.device

    @property
    def params(self) -> Document:
        """The recipe's `params`: what the study searches beside optimizer and schedule."""
        recipe = self._loop.session.recipe
        return {} if recipe is None else dict(recipe.params)

    @property
    def recipe(self) -> Recipe:
        """What is trained. Raises TaskError where the script is run alone and has none."""
        return self._loop.recipe()

    @property
    def lr(self) -> float:
        """The recipe's learning rate of the step to come, in torch's units."""
        main = self._loop.main
        return self.recipe.lr if main is None else main.recipe_lr()

    @property
    def step(self) -> int:
        """Steps of the first optimizer built; one that a loss scaler skips is none."""
        return self._loop.step

    @property
    def epoch(self) -> int:
        """How many epochs are trained to their end, whatever `run.epochs` counts from."""
        return self._loop.progress.epoch

    @property
    def kind(self) -> RunKind | Literal["plain"]:
        """`search`, `confirm`, `range_test`, `check`, or `plain` outside a study."""
        session = self._loop.session
        return "plain" if session.alone else session.start.kind

    @property
    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """Those built so far, by role."""
        return {name: role.optimizer for name, role in self._loop.roles.items()}

    @property
    def folder(self) -> Path:
        """For files of this trial, the same after an interruption; outside a study the current."""
        return Path(self._loop.session.start.folder)

    def build(
        self, model_or_groups: Given, *, steps_per_epoch: int, role: str = "main"
    ) -> torch.optim.Optimizer:
        """The recipe's optimizer: torch's own class; its schedule steps after each of its steps.

        Give a model, parameters, or groups as torch takes them. In a group `lr_scale` multiplies
        the recipe's lr, along the whole schedule, and other keys win over the recipe's.
        `steps_per_epoch` counts optimizer steps. A script with several optimizers gives each a
        `role`; all follow the same recipe, and progress is counted in steps of the first.

        Raises TaskError where the recipe does not fit the parameters, or a role is built twice.
        """
        return self._loop.build(model_or_groups, steps_per_epoch, role)

    def epochs(self, start: int = 0) -> Iterator[int]:
        """The numbers of the epochs to train, or those from where an interrupted run goes on.

        The first epoch of a run has the number `start`, as `enumerate` counts.

        Raises SpecError where the recipe has `steps` and nothing was built.
        """
        return Epochs(self._loop, start)

    def steps(self) -> Iterator[int]:
        """The numbers of the optimizer steps to train, from 0 or from where the run goes on.

        Raises TaskError before `run.build`.
        """
        return Steps(self._loop)

    def report(self, **metrics: Tensor | float) -> None:
        """Tell what a validation has measured, by any names; the study's objective is one of them.

        The worker decides whether the trial goes on. Inside `with run.average():` the values are
        kept, and sent with the next report outside. Raises TaskError for what is no number.
        """
        self._loop.report(metrics)

    def loss(self, loss: Tensor | float) -> None:
        """Tell the training loss of a batch: one number, which stays on its device.

        Reports then have its mean; a run that diverges ends; a range test reads it. Give the loss
        itself, before it is scaled or divided for accumulation. Raises TaskError for several
        numbers.
        """
        self._loop.loss(loss)

    def keep(self, **objects: PyTree) -> PyTree:
        """Keep what crosses epochs, so that an interrupted run goes on to the same bits.

        Models, optimizers, schedules and random numbers that the loop can see are kept without it.
        It returns what it was given, one object or several in a tuple; where a run goes on, what
        was kept: `best = run.keep(best=best)`, above the loop and where it changes. Raises
        StateError for what no checkpoint holds.
        """
        self._loop.session.check()
        return self._loop.checkpoint.state.keep(objects)

    @overload
    def batches(
        self, loader: Iterable[Batch], *, numbered: Literal[False] = False
    ) -> Batches[Batch]: ...

    @overload
    def batches(self, loader: Iterable[Batch], *, numbered: Literal[True]) -> Numbered[Batch]: ...

    def batches(self, loader: Iterable[Batch], *, numbered: bool = False) -> Batches[Batch]:
        """The loader's own batches, between which the run can be interrupted as well.

        `numbered`: as pairs of a batch's number in its epoch and the batch. It goes on counting
        after an interruption; `enumerate` would begin from 0 again.
        """
        at_batch = self._loop.at_batch
        return self._loop.checkpoint.state.batches(loader, at_batch, numbered=numbered)

    def average(self) -> AbstractContextManager[bool]:
        """Let the models hold their weight averages, if the recipe has `ema`, inside a `with`.

        `as` gives whether it has. What is drawn inside leaves the script's random numbers alone.
        """
        return self._loop.average()


def _session() -> Session:
    """The worker's, which started this process; else a plain run of a recipe."""
    ranks = Ranks()
    if SOCKET in os.environ:
        line, start = ranks.connect()
        return Session(start, Recipe.from_dict(start.recipe), line, ranks)
    return standalone.session(_OPTION, ranks)


#: Of `--recipe FILE`, which the script's own options know nothing of. Not a worker's child has it.
_OPTION = None if SOCKET in os.environ else standalone.take_option(sys.argv)
#: The run of this process.
run = Run()
