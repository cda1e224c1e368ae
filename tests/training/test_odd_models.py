"""Models that do what few do: alone they train as in plain torch, and the probe sees which of them
cannot share a program."""

import random
import threading
from typing import NamedTuple

import numpy as np
import pytest
import reference
import torch
from small import (
    CPU,
    EPOCHS,
    FEATURES,
    TRAIN,
    VALIDATION,
    make_recipe,
    make_task,
    make_training,
    run,
)
from torch import nn
from torch.nn.functional import cross_entropy, relu

from lrsearch.errors import TaskError
from lrsearch.training import checkpoint_state
from lrsearch.training.data import make_splits, to_device
from lrsearch.training.timing.probe import probe

SEED = 3


class Plain(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(FEATURES, 8), nn.Linear(8, 3)

    def hidden(self, x):
        return relu(self.first(x))

    def forward(self, x):
        return self.last(self.hidden(x))


class TwoNamesForABuffer(Plain):
    def __init__(self):
        super().__init__()
        self.first.register_buffer("mean", torch.ones(8))
        self.last.register_buffer("mean", self.first.mean)

    def forward(self, x):
        h = self.hidden(x)
        if self.training:
            with torch.no_grad():
                self.first.mean.mul_(0.9).add_(0.1 * h.mean(0))
        return self.last(h * self.last.mean)


class BufferInAList(TwoNamesForABuffer):
    def __init__(self):
        super().__init__()
        del self.last.mean
        self.last.__dict__["mean"] = self.first.mean


class SparseBuffer(Plain):
    def __init__(self):
        super().__init__()
        self.register_buffer("graph", torch.eye(FEATURES).to_sparse())

    def forward(self, x):
        return super().forward(torch.sparse.mm(self.graph, x.T).T)


class SparseGradients(nn.Module):
    def __init__(self):
        super().__init__()
        self.table, self.last = nn.Embedding(10, 8, sparse=True), nn.Linear(8, 3)

    def forward(self, x):
        return self.last(self.table((x.abs() * 3).long().clamp(max=9)).mean(1))


class SharedMemory(Plain):
    def __init__(self):
        super().__init__()
        self.middle, self.other = nn.Linear(8, 8), nn.Linear(8, 8)
        self.other.weight.data = self.middle.weight.data

    def hidden(self, x):
        return self.other(relu(self.middle(super().hidden(x))))


class LateBranch(Plain):
    """A layer that is used from step 11 on, and a buffer that no state dict has."""

    def __init__(self):
        super().__init__()
        self.late = nn.Linear(8, 8)
        self.register_buffer("step", torch.tensor(0), persistent=False)

    def forward(self, x):
        self.step += self.training
        h = self.hidden(x)
        return self.last(h + self.late(h) if int(self.step) > 10 else h)


class Frozen(Plain):
    def __init__(self):
        super().__init__()
        self.first.requires_grad_(False)


class Keeps(Plain):
    def hidden(self, x):
        self.kept = super().hidden(x)
        return self.kept


class Carries(Plain):
    """A mean over batches, outside of the buffers."""

    mean = None

    def forward(self, x):
        h = self.hidden(x)
        now = h.detach().mean(0)
        self.mean = now if self.mean is None else 0.9 * self.mean + 0.1 * now
        return self.last(h * self.mean)


class Cools(Plain):
    def __init__(self):
        super().__init__()
        self.heat = torch.tensor(1.0)

    def forward(self, x):
        self.heat *= 0.97
        return super().forward(x) / self.heat


class CountsInAList(Plain):
    def __init__(self):
        super().__init__()
        self.calls = [0]

    def forward(self, x):
        self.calls[0] += 1
        return super().forward(x)


class Hooked(Plain):
    def __init__(self):
        super().__init__()
        self.first.weight.register_hook(lambda grad: grad * 0.5)


class HookedLater(Plain):
    def __init__(self):
        super().__init__()
        self.first.weight.register_post_accumulate_grad_hook(lambda p: p.grad.mul_(0.5))


class Replaces(Plain):
    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.ones(8))

    def forward(self, x):
        h = self.hidden(x)
        self.mean = (0.9 * self.mean + 0.1 * h.mean(0)).detach()
        return self.last(h * self.mean)


class MakesABuffer(Replaces):
    def __init__(self):
        super().__init__()
        self.mean = None

    def forward(self, x):
        if self.mean is None:
            self.mean = torch.ones(8)
        return self.last(self.hidden(x) * self.mean)


class Locked(Plain):
    def __init__(self):
        super().__init__()
        self.lock = threading.Lock()


class Draws(Plain):
    def forward(self, x):
        return super().forward(x) * random.uniform(0.9, 1.1)


class DrawsByNumpy(Plain):
    def forward(self, x):
        return super().forward(x) * np.random.uniform(0.9, 1.1)


class TwoTypes(Plain):
    def __init__(self):
        super().__init__()
        self.last.double()

    def hidden(self, x):
        return super().hidden(x).double()


class Pair(NamedTuple):
    first: torch.Tensor
    second: list[torch.Tensor]


def training_of(model, optimizer="sgd"):
    given = {"name": optimizer, "lr": 0.05}
    recipe = make_recipe(optimizer=given, schedule="constant", seed=SEED, ema=None)
    return make_training(recipe, make_task(model=model))


def values(model):
    return {**dict(model.named_parameters()), **dict(model.named_buffers())}


@pytest.mark.parametrize(
    "model",
    [TwoNamesForABuffer, BufferInAList, SparseBuffer, SparseGradients, SharedMemory, LateBranch],
)
@pytest.mark.parametrize("optimizer", ["sgd", "adagrad"])
def test_alone_it_trains_as_in_plain_torch(model, optimizer):
    kind = {"sgd": torch.optim.SGD, "adagrad": torch.optim.Adagrad}[optimizer]
    _, losses, _ = reference.train(
        model,
        TRAIN,
        VALIDATION,
        cross_entropy,
        make_optimizer=lambda p: kind(p, lr=0.05),
        make_scheduler=reference.PLAIN_SCHEDULERS["constant"],
        seed=SEED,
        epochs=EPOCHS,
        batch_size=16,
    )
    rows = run(training_of(model, optimizer))
    assert [row.val_loss for row in rows] == losses


@pytest.mark.parametrize("step", [5, 13, 20])
def test_a_layer_that_joins_late_resumes_to_the_same_bits(step):
    whole, first, second = (training_of(LateBranch, "adam") for _ in range(3))
    run(whole)
    run(first, until=step)
    assert checkpoint_state.unpack(second, checkpoint_state.pack(first)) == []
    run(second)
    expected = values(whole.model)
    assert all(torch.equal(value, expected[name]) for name, value in values(second.model).items())


def probed(model):
    task = make_task(model=model)
    return probe(task, make_recipe(), make_splits(task, 16, CPU), CPU)


@pytest.mark.parametrize("model", [Plain, Frozen, Keeps, TwoNamesForABuffer])
def test_what_a_cohort_computes_right_fits(model):
    assert probed(model).fits


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (Carries, "changes its attribute mean,"),
        (Cools, "changes its attribute heat,"),
        (CountsInAList, "changes its attribute calls,"),
        (Hooked, "parameter first.weight has a hook"),
        (HookedLater, "parameter first.weight has a hook"),
        (Replaces, "does the model replace a buffer"),
        (MakesABuffer, "makes a buffer while it runs"),
        (Locked, "cannot be copied: TypeError"),
        (Draws, "draws from random or numpy.random"),
        (DrawsByNumpy, "draws from random or numpy.random"),
        (TwoTypes, "of several types or layouts"),
        (SharedMemory, "share memory"),
        (SparseBuffer, "graph is a sparse tensor, which a cohort cannot stack"),
        (LateBranch, "does not depend on parameter late.weight"),
    ],
)
def test_what_it_would_not_is_refused_with_the_reason(model, reason):
    found = probed(model)
    assert not found.fits
    assert reason in found.reason
    assert "\n" not in found.reason


def test_a_lazy_module_is_refused_in_one_line():
    with pytest.raises(TaskError, match=r"lazy module, 0\.weight has no shape; run the model on a"):
        training_of(lambda: nn.Sequential(nn.LazyLinear(3)))


def test_a_batch_may_be_a_named_tuple():
    pair = Pair(torch.ones(2), [torch.zeros(2)])
    moved = to_device(pair, CPU)
    assert isinstance(moved, Pair)
    assert moved.second[0].device == CPU
