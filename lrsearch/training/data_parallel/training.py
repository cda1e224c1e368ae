"""A trial that several processes train, each on its part of every batch."""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from lrsearch.recipe.recipe import Recipe
from lrsearch.task.task import Task
from lrsearch.training.conclude import conclude
from lrsearch.training.data import Batch, Data
from lrsearch.training.data_parallel.batch_norm import synced
from lrsearch.training.data_parallel.loss import PartOfLoss
from lrsearch.training.data_parallel.orders import (
    Advance,
    Begin,
    Conclude,
    Order,
    Stand,
)
from lrsearch.training.data_parallel.parts import parts_of
from lrsearch.training.data_parallel.place import Place
from lrsearch.training.precision import widest_float
from lrsearch.training.randomness import RandomStates, mixed, seed_model
from lrsearch.training.scoring import score_average, score_raw
from lrsearch.training.solo import SoloTraining
from lrsearch.training.training import Purpose
from lrsearch.trial.curve import Measurement
from lrsearch.trial.validations import Plan

# Parameters that no loss has reached are looked for in every step, also where there are none.
warnings.filterwarnings("ignore", message="find_unused_parameters=True was specified")


class Others(Protocol):
    """The other processes of a trial, as rank 0 sees them."""

    def guarding(self) -> AbstractContextManager[None]:
        """Ends them where something is raised inside; see `Processes.guarding`."""
        ...

    def tell(self, order: Order) -> None:
        """Raises TrialFailedError where one of them is gone."""
        ...

    def random_states(self) -> list[RandomStates]:
        """Where their random streams are, by rank. Raises as `tell` does."""
        ...


class SharedTraining(SoloTraining):
    """One trial, on a device of each process.

    Every process makes the same steps: the gradient of the whole batch reaches all of them. Where a
    model draws random numbers, each process has a stream of its own, decided by seed and rank.
    """

    def __init__(
        self,
        task: Task,
        recipe: Recipe,
        plan: Plan,
        splits: tuple[Data, Data],
        device: torch.device,
        place: Place,
        purpose: Purpose,
        others: Others | None = None,
    ) -> None:
        """`others` are told what is done here; None in all processes but that of rank 0."""
        self.place, self.purpose, self.others = place, purpose, others
        self.processes = place.ranks
        train, validation = splits
        shared = parts_of(train, place), validation
        super().__init__(synced(task, device), recipe, plan, shared, device)

    def restart(self) -> None:
        if self.others is None:
            self._restart()
            return
        with self.others.guarding():
            self.others.tell(Begin(recipe=self.recipe.to_dict(), purpose=self.purpose))
            self._restart()

    def _restart(self) -> None:
        super().restart()
        if self.place.rank:
            seed_model(mixed("rank", self.recipe.seed, self.place.rank))
        # It looks for unused parameters: then the order of its sums is the same from the first step
        # on, and a resumed trial goes on to the same bits.
        self._loss = DistributedDataParallel(
            PartOfLoss(self.task, self.model, self.place.ranks), find_unused_parameters=True
        )

    def advance(self, until: int) -> None:
        if self.others is None:
            super().advance(until)
            return
        while self.step < until and self.diverged is None:
            look = min(until, self.step + self.steps_to_look)
            self.others.tell(Advance(until=look))
            super().advance(look)

    def _backward_all(self, first: Batch, others: Iterator[Batch]) -> list[Tensor]:
        parts = super()._backward_all(first, others)
        losses = torch.stack(parts).to(widest_float(self.device))
        dist.all_reduce(losses)
        return list(losses)

    def _backward(self, batch: Batch) -> Tensor:
        with self.autocast():
            loss, part = self._loss(batch)
        loss = loss / self.recipe.accumulate
        (loss if self.scaler is None else self.scaler.scale(loss)).backward()
        self.beat()
        of_step: Tensor = part / self.recipe.accumulate
        return of_step

    def validate(self, *, with_ema: bool) -> Measurement:
        """Validate here, while the others wait."""
        assert self.others is not None
        raw = score_raw(self, self.data_due)
        averaged = score_average(self, with_ema=with_ema)
        self.others.tell(Conclude(raw=raw, averaged=averaged))
        return conclude(self, raw, averaged)

    def random_states(self) -> list[RandomStates]:
        return [] if self.others is None else self.others.random_states()

    def stood(self, data: bytes, others: Sequence[RandomStates], *, branches: bool) -> None:
        if self.others is not None:
            self.others.tell(Stand(data=data, random=tuple(others), branches=branches))
