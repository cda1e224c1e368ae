"""What a loop can see by a name: kept without being asked to, or named with the line to add."""

import copy
import sys
import time

import pytest
import torch
from interrupted import LoopRun, interrupted, undisturbed
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from lrsearch.own_loop.values import digest, encode

LOADER = DataLoader(TensorDataset(torch.zeros(4, 2)), shuffle=True)
#: As scripts have them at their top.
counter = 0
net_of_the_file = nn.Linear(2, 2)


def names(train):
    run, _ = undisturbed(train)
    return set(run.state.kept.names) - {"run.batches", "progress"}, run


def test_objects_of_the_function_its_callers_its_self_and_its_file():
    class Trainer:
        def __init__(self):
            self.scaler = torch.amp.GradScaler("cpu")

        def fit(self, run):
            dice = torch.Generator()
            for _ in run.epochs():
                dice.seed()

    def train(run):
        Trainer().fit(run)

    found, _ = names(train)
    assert {"scaler", "dice", "net_of_the_file", "LOADER"} <= found


def test_an_object_is_kept_once():
    def train(run):
        model = nn.Sequential(nn.Linear(1, 1), nn.Dropout())
        same, inner, criterion = model, model[0], nn.CrossEntropyLoss()
        ema = copy.deepcopy(model)
        wrapped = torch.optim.swa_utils.AveragedModel(model)
        run.keep(mine=model)
        for _ in run.epochs():
            _ = (same, inner, criterion, ema, wrapped)

    found, _ = names(train)
    assert found - {"net_of_the_file", "LOADER"} == {"mine", "ema", "wrapped"}


def test_parameters_that_no_module_in_sight_holds():
    def train(run):
        def make():
            return torch.optim.SGD(nn.Linear(2, 1).parameters(), lr=1)

        optimizer = make()
        for _ in run.epochs():
            optimizer.param_groups[0]["params"][0].data += 1

    found, _ = names(train)
    assert {"optimizer.parameters[0]", "optimizer.parameters[1]"} <= found


def test_values_that_the_loop_replaces_are_named():
    def train(run):
        best, hidden, t0, epoch, running, label = 0.0, None, time.time(), 0, 0.0, "a"
        began = time.perf_counter()
        kept_well = run.keep(kept_well=0)
        kept_late = 0
        for epoch in run.epochs():  # noqa: B007
            running = 0.0
            best, hidden = best + 1, torch.zeros(2)
            t0, began = time.time(), time.perf_counter()
            kept_well = run.keep(kept_well=kept_well + 1)
            kept_late = run.keep(kept_late=kept_late + 1)
        _ = (running, label, t0, began, epoch, hidden)

    _, run = names(train)
    hints = run.state.hints()
    assert {hint.split()[0] for hint in hints} == {"best", "hidden", "kept_late"}
    assert "write best = run.keep(best=best) above the loop" in next(
        hint for hint in hints if hint.startswith("best")
    )


def test_a_value_that_run_keep_gives_back_and_nobody_takes():
    def train(run):
        best = 9.0
        run.keep(best=best)
        for _ in run.epochs():
            run.boundary()
            best = run.keep(best=best - 1)

    data = interrupted(train, 2)
    run, _ = undisturbed(train, data=data)
    assert run.state.hints()[0] == (
        "best is kept, but what run.keep gave back is not used; write best = run.keep(best=best)"
    )


def test_what_the_loop_changes_in_place_is_kept():
    def train(run):
        seen, table, counts = [], {"a": []}, torch.zeros(2)
        untouched, weights = list(range(10)), list(net_of_the_file.parameters())
        for epoch in run.epochs():
            seen.append(epoch)
            table["a"].append(epoch)
            counts += 1
        _ = (untouched, weights)

    found, _ = names(train)
    assert {"seen", "table", "counts"} <= found
    assert "untouched" not in found


def test_what_was_found_and_cannot_be_written_is_left_out_and_named():
    class Figure:
        pass

    class Odd:
        def state_dict(self):
            raise RuntimeError("prepare me first")

        def load_state_dict(self, state):
            pass

    def train(run):
        figures, odd = [], Odd()
        for epoch in run.epochs():
            figures.append(epoch if epoch < 2 else Figure())
        _ = odd

    run, digests = undisturbed(train)
    assert "figures" not in digests
    run.state.pack()
    said = " ".join(run.state.hints())
    assert "odd is not kept: RuntimeError: prepare me first" in said
    assert "figures is not kept: [2] is a test_discover." in said


def test_looking_changes_neither_random_numbers_nor_what_a_frame_holds():
    def train(run):
        model, big = net_of_the_file, None
        for _ in run.epochs():
            big = torch.zeros(1000)
            sizes.append(sys.getrefcount(big))
            run.see(torch.rand(1))
        _ = model

    sizes = []
    undisturbed(train)
    assert set(sizes) == {2}  # the variable, and the argument of getrefcount
    torch.manual_seed(7)
    plain = [digest(encode(torch.rand(1))) for _ in range(3)]
    run = LoopRun()
    train(run)
    assert run.seen == plain


def test_a_counter_of_the_file_is_named(monkeypatch):
    def train(run):
        global counter
        for _ in run.epochs():
            counter += 1

    monkeypatch.setattr(sys.modules[__name__], "counter", 0)
    _, run = names(train)
    assert any(hint.startswith("counter is set before") for hint in run.state.hints())


@pytest.mark.parametrize("resume", [0, 1])
def test_a_loop_that_is_interrupted_early_or_late_finds_the_same_objects(resume):
    def train(run):
        log, model = [], nn.Linear(1, 1)
        for epoch in run.epochs():
            log.append(epoch)
        _ = model
        run.see(log)

    straight, digests = undisturbed(train)
    run, after = undisturbed(train, data=interrupted(train, resume))
    assert run.seen == straight.seen
    assert after == digests
