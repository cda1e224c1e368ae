"""A stream: samples are made as they are read, and nobody knows how many there are."""

import itertools

import torch
from torch import nn
from torch.nn.functional import mse_loss
from torch.utils.data import DataLoader, IterableDataset

import lrsearch

BATCH_SIZE, STEPS_PER_EPOCH, VALIDATION_BATCHES = 16, 12, 5


class Readings(IterableDataset):
    """Noisy readings of a curve, without an end."""

    def __init__(self, seed):
        self.seed = seed

    def __iter__(self):
        for number in itertools.count():
            generator = torch.Generator().manual_seed(self.seed + number)
            x = torch.randn(3, generator=generator)
            yield x, (x[:1] * x[1:2]).tanh() + 0.1 * torch.randn(1, generator=generator)


def make_model():
    return nn.Sequential(nn.Linear(3, 32), nn.Tanh(), nn.Linear(32, 1))


def loader(seed):
    return lambda: DataLoader(Readings(seed), batch_size=BATCH_SIZE)


def task():
    return lrsearch.Task(
        model=make_model,
        train=loader(0),
        validation=loader(10**9),
        loss=mse_loss,
        steps_per_epoch=STEPS_PER_EPOCH,
        validation_batches=VALIDATION_BATCHES,
    )


def by_hand(epochs, lr):
    torch.manual_seed(0)
    model = make_model()
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    batches, losses = iter(loader(0)()), []
    for _ in range(epochs):
        for inputs, targets in itertools.islice(batches, STEPS_PER_EPOCH):  # the stream goes on
            optimizer.zero_grad()
            mse_loss(model(inputs), targets).backward()
            optimizer.step()
        with torch.no_grad():
            validation = itertools.islice(loader(10**9)(), VALIDATION_BATCHES)
            values = [mse_loss(model(inputs), targets).item() for inputs, targets in validation]
        losses.append(sum(values) / len(values))
    return model.state_dict(), losses
