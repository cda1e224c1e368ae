"""A DataLoader's process that is killed is a lost worker; one that fails by itself is a failure."""

import gc
import os
import signal
import sys

import pytest
import torch
from small import CPU
from torch.utils.data import DataLoader, Dataset

from lrsearch.training.data.reading import Reader, Ticket
from lrsearch.training.failures import ProcessKilledError


class Deadly(Dataset):
    """Ends its own process where it is told to, once: the file says that it was done."""

    def __init__(self, file, number):
        self.file, self.number = file, number

    def __len__(self):
        return 8

    def __getitem__(self, index):
        if index == 5 and not self.file.exists():
            self.file.touch()
            if self.number:
                os.kill(os.getpid(), self.number)
            os._exit(3)
        return torch.tensor([float(index)])


def reader(tmp_path, number):
    data = Deadly(tmp_path / "killed", number)
    return Reader(data, CPU, like=DataLoader(data, num_workers=1))


def read(reader):
    return [batch.item() for batch in reader.read(Ticket(i, [i]) for i in range(8))]


def test_a_killed_process_is_told_and_the_next_reading_has_new_ones(tmp_path):
    mine = reader(tmp_path, signal.SIGKILL)
    with pytest.raises(ProcessKilledError, match="a DataLoader process of it was killed"):
        read(mine)
    assert read(mine) == [float(i) for i in range(8)]
    mine.close()


def test_one_that_was_killed_between_two_passes_is_told(tmp_path):
    mine = reader(tmp_path, signal.SIGKILL)
    (tmp_path / "killed").touch()  # it was done before
    everything = read(mine)
    (worker,) = mine._loader._iterator._workers
    worker.kill()
    worker.join()
    with pytest.raises(ProcessKilledError):
        read(mine)
    assert read(mine) == everything
    mine.close()


def test_a_process_that_ends_by_itself_is_the_datas_own_fault(tmp_path):
    mine = reader(tmp_path, 0)
    with pytest.raises((RuntimeError, OSError, EOFError)) as raised:
        read(mine)
    assert not isinstance(raised.value, ProcessKilledError)
    mine.close()
    assert signal.getsignal(signal.SIGCHLD) in (signal.SIG_DFL, None)


class Tidy(Deadly):
    """The same, whose process looks for garbage before it reads."""

    def __getitem__(self, index):
        gc.collect()
        return super().__getitem__(index)


def test_a_new_process_leaves_the_iterator_of_a_killed_one_to_its_parent(
    tmp_path, capfd, monkeypatch
):
    """It inherits what held that iterator: the error that told of the kill, in a cycle."""
    monkeypatch.setattr(sys, "unraisablehook", sys.__unraisablehook__)
    data = Tidy(tmp_path / "killed", signal.SIGKILL)
    mine = Reader(data, CPU, like=DataLoader(data, num_workers=1))
    gc.collect()
    gc.disable()  # so that the parent still has it
    try:
        with pytest.raises(ProcessKilledError) as raised:
            read(mine)
        held = [raised.value]
        held.append(held)
        del raised, held
        assert read(mine) == [float(i) for i in range(8)]
        mine.close()
    finally:
        gc.enable()
    assert capfd.readouterr().err == ""
