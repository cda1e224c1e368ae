"""The batches of a cohort are those of each trial alone, however many are gathered at once."""

from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small import CPU

from lrsearch.training.data.tensors import TensorData
from lrsearch.training.fused import batches
from lrsearch.training.fused.batches import CohortBatches

STEPS_PER_EPOCH = 6


def place(seed, step):
    """What batches are asked of a trial."""
    return SimpleNamespace(
        recipe=SimpleNamespace(seed=seed),
        step=step,
        position=step % STEPS_PER_EPOCH,
        plan=SimpleNamespace(steps_per_epoch=STEPS_PER_EPOCH),
    )


@settings(max_examples=30)
@given(
    seeds=st.lists(st.integers(0, 2), min_size=1, max_size=3),
    epochs=st.lists(st.integers(0, 2), min_size=3, max_size=3),
    start=st.integers(0, STEPS_PER_EPOCH - 1),
    count=st.integers(1, 2),
    most=st.sampled_from([1, 150, 10_000]),
    changes=st.sets(st.integers(0, 11), max_size=3),
)
def test_a_cohort_has_the_batches_of_each_trial_alone(seeds, epochs, start, count, most, changes):
    length = STEPS_PER_EPOCH * 2 * count + 1  # of 2 samples each; one is left over
    data = TensorData((torch.arange(3 * length).view(length, 3), torch.arange(length)), 2, CPU)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batches, "AHEAD_BYTES", most)
        cohort = CohortBatches(data)
        for number in range(2 * STEPS_PER_EPOCH):
            steps = [start + number + STEPS_PER_EPOCH * epoch for epoch in epochs]
            places = [place(seed, step) for seed, step in zip(seeds, steps, strict=False)]
            if number in changes:
                cohort.forget()
            for i, batch in enumerate(cohort.next(places, count)):
                for k, one in enumerate(places):
                    epoch, position = divmod(one.step, STEPS_PER_EPOCH)
                    alone = next(data.train(one.recipe.seed, epoch, position * count + i))
                    assert all(torch.equal(a[k], b) for a, b in zip(batch, alone, strict=True))


def test_several_small_batches_are_gathered_by_one_call(monkeypatch):
    data = TensorData((torch.zeros(64, 4), torch.zeros(64)), 4, CPU)
    picked = []
    monkeypatch.setattr(data, "pick", lambda index: picked.append(len(index)) or data_pick(index))
    data_pick = type(data).pick.__get__(data)
    monkeypatch.setattr(batches, "AHEAD_BYTES", 3 * data.batch_bytes)
    cohort = CohortBatches(data)
    for step in range(STEPS_PER_EPOCH):
        cohort.next([place(1, step), place(1, step)], 1)
    assert picked == [12, 12]
    cohort.forget()
    cohort.next([place(1, 0), place(2, 0)], 1)
    assert picked[2:] == [8]  # of two orders
