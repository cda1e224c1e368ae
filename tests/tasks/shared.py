"""A classification in double precision for trials of several processes, with data of any kind.

A batch has 15 samples, of which some have no label: the parts of two processes are unequal both in
samples and in labels.
"""

import os
import signal
from pathlib import Path

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

import lrsearch

NO_LABEL = -100


def make_tensors(samples, seed):
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(samples, 6, generator=generator, dtype=torch.float64)
    labels = inputs[:, :3].argmax(1)
    labels[torch.rand(samples, generator=generator) < 0.3] = NO_LABEL
    return inputs, labels


TRAIN, VALIDATION = make_tensors(94, seed=1), make_tensors(60, seed=2)


class Stream(IterableDataset):
    def __iter__(self):
        return iter(zip(*TRAIN, strict=True))


def loader():
    return DataLoader(TensorDataset(*TRAIN), batch_size=15, shuffle=True)


SOURCES = {
    "tensors": TRAIN,
    "dataset": torch.utils.data.Subset(TensorDataset(*TRAIN), range(94)),
    "loader": loader,
    "stream": Stream(),
}


class Model(nn.Module):
    """With a layer that no loss reaches, and one that draws random numbers."""

    def __init__(self, dropout, norm):
        super().__init__()
        self.first, self.unused = nn.Linear(6, 8), nn.Linear(2, 2)
        self.norm = nn.BatchNorm1d(8) if norm else nn.LayerNorm(8)
        self.dropout, self.last = nn.Dropout(dropout), nn.Linear(8, 3)
        self.double()

    def forward(self, inputs):
        return self.last(self.dropout(self.norm(self.first(inputs)).relu()))


def step(model, batch):
    """As `cross_entropy`, in terms of a sum and a count."""
    inputs, labels = batch
    total = cross_entropy(model(inputs), labels, reduction="sum")
    return total, (labels != NO_LABEL).sum()


def sum_step(model, batch):
    inputs, labels = batch
    return cross_entropy(model(inputs), labels, reduction="sum")


def troubled(file):
    """A loss that fails in the second process of a trial, once: as the word in the file says."""

    def loss(output, labels):
        path = Path(file)
        if dist.is_initialized() and dist.get_rank() == 1 and path.exists():
            word = path.read_text()
            path.unlink()
            if word == "raise":
                raise ValueError("the second half is bad")
            os.kill(os.getpid(), getattr(signal, word))
        return cross_entropy(output, labels)

    return loss


def task(source="tensors", loss="mean", dropout=0.0, norm=False, file=""):
    losses = {
        "mean": {"loss": cross_entropy},
        "pair": {"step": step},
        "sum": {"step": sum_step},
        "troubled": {"loss": troubled(file)},
    }
    return lrsearch.Task(
        model=lambda: Model(dropout, norm),
        train=SOURCES[source],
        validation=VALIDATION,
        batch_size=15,
        steps_per_epoch=6 if source == "stream" else None,
        **losses[loss],
    )
