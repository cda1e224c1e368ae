"""`run.batches`: a loader gives the batches that it gives by itself, interrupted anywhere."""

import random

import numpy as np
import pytest
import torch
from interrupted import assert_goes_on_exactly
from torch.utils.data import DataLoader, Dataset, IterableDataset, RandomSampler
from torchdata.stateful_dataloader import StatefulDataLoader


class Noisy(Dataset):
    """Draws from every stream of the process that loads."""

    def __init__(self, n=11):
        self.n = n

    def __len__(self):
        return self.n

    def __getitem__(self, i):
        return i + torch.rand(1) + random.random() + np.random.rand()


class Plain(Dataset):
    def __len__(self):
        return 11

    def __getitem__(self, i):
        return torch.tensor([float(i)])


class Stream(IterableDataset):
    """Knows where it stands, in the epoch and over epochs."""

    def __init__(self):
        self.at = self.total = 0

    def __iter__(self):
        while self.at < 9:
            self.at, self.total = self.at + 1, self.total + 1
            yield torch.tensor([float(self.total)]) + torch.rand(1)
        self.at = 0

    def state_dict(self):
        return {"at": self.at, "total": self.total}

    def load_state_dict(self, state):
        self.at, self.total = state["at"], state["total"]


def looping(make):
    def train(run):
        loader = make()
        w = torch.zeros(1, requires_grad=True)
        optimizer = torch.optim.SGD([w], lr=0.1)
        for _ in run.epochs():
            for x in run.batches(loader):
                run.see(x)
                optimizer.zero_grad()
                (w - x.mean() * torch.rand(1)).square().sum().backward()
                optimizer.step()
            run.see(torch.rand(1))

    return train


KINDS = {
    "in order": lambda: DataLoader(Noisy(), batch_size=3),
    "shuffled": lambda: DataLoader(Noisy(), batch_size=3, shuffle=True),
    "private generator": lambda: DataLoader(
        Noisy(), batch_size=3, shuffle=True, generator=torch.Generator().manual_seed(5)
    ),
    "generator of the sampler": lambda: DataLoader(
        Noisy(),
        batch_size=2,
        sampler=RandomSampler(
            range(11), replacement=True, num_samples=9, generator=torch.Generator().manual_seed(3)
        ),
    ),
    "a list": lambda: [torch.full((1,), float(i)) for i in range(4)],
    "stateful": lambda: StatefulDataLoader(Noisy(), batch_size=3, shuffle=True),
    "stateful, private generator": lambda: StatefulDataLoader(
        Noisy(), batch_size=3, shuffle=True, generator=torch.Generator().manual_seed(5)
    ),
    "stateful stream": lambda: StatefulDataLoader(Stream(), batch_size=3),
}
WORKERS = {
    "workers": lambda: DataLoader(Noisy(), batch_size=3, shuffle=True, num_workers=2),
    "workers that stay": lambda: DataLoader(
        Plain(), batch_size=3, shuffle=True, num_workers=2, persistent_workers=True
    ),
    "stateful, workers": lambda: StatefulDataLoader(
        Plain(), batch_size=3, shuffle=True, num_workers=2
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_loader_goes_on_after_any_batch(kind):
    assert_goes_on_exactly(looping(KINDS[kind]))


@pytest.mark.parametrize("kind", WORKERS)
def test_a_loader_with_workers_goes_on(kind):
    assert_goes_on_exactly(looping(WORKERS[kind]), epochs=2, stops=[0, 2, 5])
