"""Whether a validation's loss and metrics depend on how the set is cut into batches."""

import itertools
import math
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import torch
from torch import Tensor, nn
from torch.utils._pytree import PyTree, tree_map

from lrsearch.errors import TaskError
from lrsearch.task.task import Task
from lrsearch.training.batch_loss import initial_state, scores
from lrsearch.training.data import Data, told_size
from lrsearch.training.evaluate import Evaluation, evaluate
from lrsearch.training.one_model import OneModel
from lrsearch.training.pooling.means import LOSS
from lrsearch.training.randomness import drew

#: So many batches are looked at, or fewer, such that it takes about so many seconds.
MOST_BATCHES, SECONDS = 16, 2.0
#: Share of a batch that the first of its two parts has: not a half, which would hide much.
FIRST_PART = 1 / 3
#: A smaller difference, relative to the value or absolute, is taken for rounding in float32.
RELATIVE, ABSOLUTE = 1e-3, 1e-5


def batch_dependence(
    task: Task,
    data: Data,
    model: nn.Module,
    device: torch.device,
    autocast: Callable[[], AbstractContextManager[None]],
) -> list[str]:
    """A sentence for each value that is another one when each batch is cut in two.

    The model is in evaluation mode. Nothing is found where batches cannot be cut (their tensors
    differ in the leading dimension), where a state is carried, and where a model draws random
    numbers in evaluation. Raises TaskError where a metric fails over the whole set.
    """
    first = next(iter(data.validation()))
    size = told_size(first)
    if task.carry is not None or size is None or size < 2:
        return []
    started = time.monotonic()
    if drew(lambda: _look(task, model, first, autocast), device):
        return []
    count = max(1, min(MOST_BATCHES, int(SECONDS / (time.monotonic() - started))))

    def values(some: Data) -> Evaluation:
        [value] = evaluate(
            task, some, OneModel(model), autocast=autocast, beat=lambda: None, device=device
        )
        return value

    try:
        whole, parts = values(_Batches(data, count)), values(_Batches(data, count, in_two=True))
    except TaskError:
        if sum(1 for _ in itertools.islice(data.validation(), count + 1)) <= count:
            raise
        return []  # a metric over the whole set may need all of it
    return list(_differences(whole, parts, size))


def _differences(whole: Evaluation, parts: Evaluation, size: int) -> Iterator[str]:
    named = {LOSS: (whole.loss, parts.loss)}
    named |= {name: (value, parts.metrics[name]) for name, value in whole.metrics.items()}
    for name, (a, b) in named.items():
        if math.isfinite(a) and not math.isclose(a, b, rel_tol=RELATIVE, abs_tol=ABSOLUTE):
            yield _sentence(name, a, b, size)


def _sentence(name: str, whole: float, parts: float, size: int) -> str:
    remedy = (
        "return (its sum, the count of what it sums over) from step or score"
        if name == LOSS
        else f"write lrsearch.pooled({name}), which sees the whole set, or return (sum, count) "
        f"from score"
    )
    return (
        f"{name} depends on the batch size: {whole:.4g} in batches of {size}, {parts:.4g} in "
        f"smaller ones; {remedy}"
    )


def _look(
    task: Task,
    model: nn.Module,
    batch: PyTree,
    autocast: Callable[[], AbstractContextManager[None]],
) -> None:
    with torch.no_grad(), autocast():
        if task.loss is not None:
            model(batch[0])
        else:
            scores(task, model, batch, initial_state(task, model))


class _Batches:
    """The first batches of a validation set, whole or each in two parts."""

    batches = 0

    def __init__(self, data: Data, count: int, *, in_two: bool = False) -> None:
        self.data, self.count, self.in_two = data, count, in_two

    def train(self, seed: int, epoch: int, skip: int) -> Iterator[PyTree]:
        raise NotImplementedError

    def validation(self) -> Iterator[PyTree]:
        for batch in itertools.islice(self.data.validation(), self.count):
            size = told_size(batch)
            if not self.in_two or size is None or size < 2:
                yield batch
                continue
            cut = max(1, round(FIRST_PART * size))
            for part in (slice(None, cut), slice(cut, None)):
                yield tree_map(lambda x: x[part] if isinstance(x, Tensor) else x, batch)  # noqa: B023
