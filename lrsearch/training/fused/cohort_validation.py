"""A validation of a cohort's trials: raw and averaged weights in one pass over the data."""

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import TypeVar

from torch import nn
from torch.utils._pytree import PyTree

from lrsearch.training.evaluate import Evaluation, evaluate
from lrsearch.training.fused.cohort_training import CohortTraining
from lrsearch.training.fused.program import Program
from lrsearch.training.one_model import OneModel
from lrsearch.training.randomness import random_state, set_random_state
from lrsearch.training.scoring import deployed_weights, is_average_scored
from lrsearch.training.training import Training

T = TypeVar("T")
#: Of raw weights, and of averaged ones where they were evaluated.
Scores = tuple[Evaluation, Evaluation | None]

#: Kinds of devices that evaluate a cohort's models one by one, to the bit as each alone: what a
#: model works on stays in a processor's cache, and nothing is spent on vmap. 8 models of digits
#: take 1.5 ms for a batch of 256 so, 1.8 ms at once. Elsewhere raw models are computed at once.
ONE_BY_ONE = frozenset({"cpu"})


def score_cohort(
    program: Program,
    trainings: Sequence[CohortTraining],
    *,
    with_ema: Callable[[Training], bool],
) -> list[Scores]:
    """What raw weights and, where asked for or deployed, averaged ones measure on what is due.

    That is the same data for all of them.
    Adds to the trials' seconds. Raises CohortError, and what the task's code raises.
    """
    started, first = time.monotonic(), trainings[0]
    with ExitStack() as stack:
        for training in trainings:
            stack.enter_context(deployed_weights(training))
        models = CohortModels(program, trainings, with_ema=with_ema)
        scores = evaluate(
            first.task,
            first.data_due,
            models,
            autocast=first.autocast,
            beat=first.beat,
            device=program.device,
        )
    share = (time.monotonic() - started) / len(scores)
    averages = iter(scores[len(trainings) :])
    averaged = [next(averages) if one in models.averaged else None for one in trainings]
    for training, average in zip(trainings, averaged, strict=True):
        training.seconds += share if average is None else 2 * share
    return list(zip(scores[: len(trainings)], averaged, strict=True))


class CohortModels:
    """A cohort's models with their raw weights, then those of which the average is evaluated."""

    def __init__(
        self,
        program: Program,
        trainings: Sequence[CohortTraining],
        *,
        with_ema: Callable[[Training], bool],
    ) -> None:
        self.device = program.device
        self.program, self.trainings = program, trainings
        self.averaged = [t for t in trainings if is_average_scored(t, with_ema=with_ema(t))]
        self._raw = [training.evaluated(averaged=False) for training in trainings]
        self._averages = [training.evaluated(averaged=True) for training in self.averaged]

    def outputs(self, inputs: PyTree) -> list[PyTree]:
        """What each gives; see ONE_BY_ONE. Raises CohortError."""
        if self.device.type in ONE_BY_ONE:
            return self.each(lambda model: model(inputs))
        raw = self.program.outputs(inputs, [training.place for training in self.trainings])
        return raw + self._each_of(self._averages, lambda model: model(inputs))

    def each(self, call: Callable[[nn.Module], T]) -> list[T]:
        """What a call gives for each, by its own module: the call may do what vmap cannot."""
        return self._each_of([*self._raw, *self._averages], call)

    def _each_of(self, models: Sequence[OneModel], call: Callable[[nn.Module], T]) -> list[T]:
        """All draw the same random numbers, which are those that each would draw alone."""
        state, given = random_state(self.device), list[T]()
        for model in models:
            set_random_state(state, self.device)
            given += model.each(call)
        return given
