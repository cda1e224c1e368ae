"""What of a trial depends on its device, as far as a machine without one can tell."""

from types import SimpleNamespace

import pytest
import torch
from small import make_task, make_training

from lrsearch.errors import TaskError
from lrsearch.training import devices
from lrsearch.training.data import make_data, to_device
from lrsearch.training.devices import pick_device
from lrsearch.training.model import make_model

MPS = torch.device("mps", 0)
WIDE = torch.zeros(4, 2, dtype=torch.float64)


def test_a_checkpoint_has_the_random_numbers_of_the_trials_own_device(monkeypatch):
    training, asked = make_training(), []
    training.device = torch.device("cuda", 1)

    def state(device):
        asked.append(device)
        return torch.zeros(16, dtype=torch.uint8)

    module = SimpleNamespace(get_rng_state=state)
    monkeypatch.setattr(torch, "get_device_module", lambda device: module)
    assert training.pack()
    assert asked == [torch.device("cuda", 1)]


def test_float64_is_refused_in_one_line_on_mps():
    with pytest.raises(
        TaskError, match=r"the model's 0.weight is float64, which mps does not have"
    ):
        make_model(
            make_task(model=lambda: torch.nn.Sequential(torch.nn.Linear(2, 2)).double()), MPS
        )
    with pytest.raises(TaskError, match="tensor 1 of the data is float64"):
        make_data((WIDE, WIDE), 2, MPS, "train")
    with pytest.raises(TaskError, match=r"a tensor of a batch is float64.*--device cpu"):
        to_device({"x": [WIDE]}, MPS)


def test_mps_is_a_device_where_the_machine_has_it(monkeypatch):
    monkeypatch.setattr(devices, "devices", lambda: ["mps:0"])
    assert pick_device("mps") == pick_device("auto") == MPS
    assert devices.local_workers() == ["mps:0"]
