"""Random streams of accelerators, with ones that are not here."""

import pytest
import torch

from lrsearch.own_loop.streams import global_streams, set_global_streams


class Devices:
    """Stands for `torch.cuda`: a number for each device is its stream."""

    def __init__(self, states, *, awake=True):
        self.states, self.awake = list(states), awake

    def is_initialized(self):
        return self.awake

    def device_count(self):
        return len(self.states)

    def current_device(self):
        return 0

    def get_rng_state(self, index=0):
        assert self.awake
        return torch.tensor(self.states[index])

    def set_rng_state(self, state, index=0):
        place = index if isinstance(index, int) else index.index
        self.states[place] = int(state)


@pytest.fixture
def devices(monkeypatch):
    def use(made):
        monkeypatch.setattr(torch, "get_device_module", lambda device: made)
        return made

    return use


def test_each_visible_device_goes_on(devices):
    first = devices(Devices([1, 2, 3]))
    saved = global_streams(torch.device("cuda:1"))
    first.states = [7, 8, 9]
    set_global_streams(saved, torch.device("cuda:1"))
    assert first.states == [1, 2, 3]


def test_a_run_that_moves_to_another_device_takes_its_stream_along(devices):
    devices(Devices([1, 2]))
    saved = global_streams(torch.device("cuda:1"))
    there = devices(Devices([5]))
    set_global_streams(saved, torch.device("cuda:0"))
    assert there.states == [2]


def test_a_device_that_nothing_was_drawn_on_is_not_woken_up(devices):
    asleep = devices(Devices([1], awake=False))
    saved = global_streams(torch.device("cuda:0"))
    set_global_streams(saved, torch.device("cuda:0"))
    assert asleep.states == [1]


def test_the_one_stream_of_mps_goes_on(devices):
    one = devices(Devices([4]))
    saved = global_streams(torch.device("mps"))
    one.states = [5]
    set_global_streams(saved, torch.device("mps"))
    assert one.states == [4]
