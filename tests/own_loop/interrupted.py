"""A loop that is interrupted at any place and goes on, beside the same loop undisturbed."""

import random
import sys

import numpy as np
import torch

from lrsearch.own_loop.state import RunState
from lrsearch.own_loop.values import digest, encode

CPU = torch.device("cpu")
# The first optimizer of a process imports what holds on to the frames that it is imported from.
# A loader whose processes run takes seconds to be collected from there.
torch.optim.SGD([torch.zeros(1)], lr=0.1)


class InterruptedHereError(BaseException):
    """The run is killed."""


class Place:
    """The epoch in training, as the run itself keeps it."""

    def __init__(self):
        self.epoch = 0

    def state_dict(self):
        return vars(self)

    def load_state_dict(self, state):
        self.epoch = state["epoch"]


class LoopRun:
    """What of `run` a loop needs here. `stop`: at which place to be killed, the first is 0."""

    def __init__(self, *, epochs=3, stop=None, data=None, seed=7):
        self.total, self.stop = epochs, stop
        self.place, self.places, self.hinted = Place(), 0, []
        #: What the loop saw, for comparison.
        self.seen = []
        self.data = None
        hinted = self.hinted  # no cycle: a loader's processes end with the run
        self.state = RunState(CPU, lambda key, text: hinted.append(text))
        self.state.kept.add("progress", self.place)
        if data is not None:
            self.state.load(data)
        torch.manual_seed(seed)
        random.seed(seed)
        np.random.seed(seed)

    def epochs(self):
        self.state.enter([sys._getframe(1)])
        first = self.place.epoch
        for number in range(first, self.total):
            self.place.epoch = number
            if number > first:
                self.state.top([sys._getframe(1)], number)
                self.boundary()
            yield number

    def batches(self, loader, **options):
        return self.state.batches(loader, self.boundary, **options)

    def keep(self, **objects):
        return self.state.keep(objects)

    def boundary(self):
        if self.places == self.stop:
            self.data = self.state.pack()
            raise InterruptedHereError
        self.places += 1

    def see(self, value):
        self.seen.append(digest(encode(value)))


def undisturbed(train, **options):
    """The run after `train(run)`, and the digests of all that was kept."""
    run = LoopRun(**options)
    train(run)
    return run, run.state.digests()


def interrupted(train, stop, **options):
    """The state that a run left which was killed at this place."""
    run = LoopRun(stop=stop, **options)
    try:
        train(run)
    except InterruptedHereError:
        return run.data
    raise AssertionError(f"the run has only {run.places} places")


def assert_goes_on_exactly(train, *, stops=None, **options):
    """Killed at each place, a loop goes on to the same batches, weights and random numbers."""
    straight, digests = undisturbed(train, **options)
    assert straight.places > 0
    for stop in range(straight.places) if stops is None else stops:
        data = interrupted(train, stop, **options)
        torch.rand(stop + 1)  # a fresh process is somewhere else
        resumed, after = undisturbed(train, data=data, **options)
        assert resumed.seen == straight.seen[len(straight.seen) - len(resumed.seen) :], (
            f"place {stop}"
        )
        differs = [name for name in digests if after.get(name) != digests[name]]
        assert not differs, f"place {stop}: {differs}"
    return straight
