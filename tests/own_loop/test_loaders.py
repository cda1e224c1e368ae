"""`run.batches`: a loader gives the batches that it gives by itself, interrupted anywhere."""

import copy
import random

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from interrupted import (
    InterruptedHereError,
    LoopRun,
    assert_goes_on_exactly,
    interrupted,
    undisturbed,
)
from torch.utils.data import DataLoader, Dataset, IterableDataset, RandomSampler
from torchdata.stateful_dataloader import StatefulDataLoader

from lrsearch.own_loop.kept import StateError


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


@given(
    kind=st.sampled_from(sorted(KINDS)),
    places=st.lists(st.integers(0, 6), min_size=2, max_size=4),
    epochs=st.integers(1, 3),
)
@settings(max_examples=40)
def test_a_run_that_is_killed_again_and_again_goes_on_to_the_same_bits(kind, places, epochs):
    train = looping(KINDS[kind])
    straight, digests = undisturbed(train, epochs=epochs)
    data = None
    for place in places:
        run = LoopRun(stop=place, data=data, epochs=epochs)
        try:
            train(run)
        except InterruptedHereError:
            data = run.data
    last, after = undisturbed(train, data=data, epochs=epochs)
    assert last.seen == straight.seen[len(straight.seen) - len(last.seen) :]
    assert after == digests


@pytest.mark.parametrize("kind", [*KINDS, *WORKERS])
def test_the_batches_are_those_of_the_loader_by_itself(kind):
    """To the bit, with what is drawn between them and after them."""

    def alone(run):
        loader = (KINDS | WORKERS)[kind]()
        for _ in range(2):
            for x in loader:
                run.see([x, torch.rand(1)])
            run.see([torch.rand(1), random.random(), np.random.rand()])

    def followed(run):
        loader = (KINDS | WORKERS)[kind]()
        for _ in run.epochs():
            for x in run.batches(loader):
                run.see([x, torch.rand(1)])
            run.see([torch.rand(1), random.random(), np.random.rand()])

    plain, run = LoopRun(epochs=2), LoopRun(epochs=2)
    alone(plain)
    random.seed(7), np.random.seed(7), torch.manual_seed(7)
    followed(run)
    assert run.seen == plain.seen


def forward_only():
    return DataLoader(Forward(), batch_size=3)


class Forward(IterableDataset):
    def __iter__(self):
        return iter(torch.arange(9.0))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (forward_only, "a DataLoader over an IterableDataset cannot tell where it stands"),
        (lambda: iter([torch.zeros(1)]), "a list_iterator gives its batches once"),
        (lambda: (torch.zeros(1) for _ in range(3)), "a generator gives its batches once"),
    ],
)
def test_what_cannot_go_on_inside_an_epoch_is_interrupted_between_epochs(make, said):
    def train(run):
        for _ in run.epochs():
            for x in run.batches(make()):
                run.see(x)

    straight = assert_goes_on_exactly(train)
    assert straight.places == 2  # the tops of the epochs
    assert said in straight.hinted[0]
    assert len(set(straight.hinted)) == 1


def test_only_the_first_loader_of_an_epoch_is_interrupted():
    def train(run):
        loader, other = KINDS["shuffled"](), KINDS["private generator"]()
        for _ in run.epochs():
            for x in run.batches(loader):
                run.see(x)
            for x in run.batches(other):  # validation, as it may be
                run.see(x)

    assert assert_goes_on_exactly(train).places == 2 + 3 * 5


def test_a_loop_that_breaks_out_of_its_batches():
    def train(run):
        loader = run.batches(KINDS["shuffled"]())
        for _ in run.epochs():
            for count, x in enumerate(loader):
                run.see(x)
                if count == 1:
                    break
            run.see(torch.rand(1))

    run, _ = undisturbed(train)
    assert run.places == 2 + 3 * 2
    assert_goes_on_exactly(train, stops=[2, 5])  # the tops: enumerate counts anew inside


def test_a_wrapped_loader_is_as_the_loader():
    run = LoopRun()
    loader = KINDS["shuffled"]()
    batches = run.batches(loader)
    assert len(batches) == 4
    assert batches.batch_size == 3
    assert batches.dataset is loader.dataset
    assert copy.copy(batches).dataset is loader.dataset
    with pytest.raises(AttributeError):
        _ = batches.nothing


def test_batches_are_numbered_over_an_interruption():
    def train(run):
        for _ in run.epochs():
            for number, x in run.batches(KINDS["shuffled"](), numbered=True):
                run.see([number, x])

    assert_goes_on_exactly(train)


def test_enumerate_is_told_of():
    def train(run):
        for _ in run.epochs():
            for _, x in enumerate(run.batches(KINDS["shuffled"]())):
                run.see(x)

    run, _ = undisturbed(train)
    line = train.__code__.co_firstlineno + 2
    assert run.hinted[0].startswith(f"test_loaders.py:{line}: enumerate counts from 0 again")
    assert "run.batches(loader, numbered=True)" in run.hinted[0]


def test_a_loader_that_has_become_shorter_is_refused():
    def train(run):
        for _ in run.epochs():
            for x in run.batches(DataLoader(Noisy(sizes[0]), batch_size=1)):
                run.see(x)

    sizes = [5]
    data = interrupted(train, 4)
    sizes[0] = 2
    with pytest.raises(StateError, match="the loader gave 2 batches, but 4 when the run was"):
        undisturbed(train, data=data)


def test_a_script_that_no_longer_iterates_is_refused():
    def train(run):
        for _ in run.epochs():
            for _ in run.batches([1, 2]) if iterates[0] else ():
                pass

    iterates = [True]
    data = interrupted(train, 1)
    iterates[0] = False
    with pytest.raises(StateError, match="interrupted inside an epoch, but the script no longer"):
        undisturbed(train, data=data)
