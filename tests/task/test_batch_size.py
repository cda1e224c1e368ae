"""The batch size of a task is that of the batches that it trains with."""

import pytest
import small
import torch
from torch.utils.data import BatchSampler, DataLoader, RandomSampler, TensorDataset

from lrsearch.errors import TaskError
from lrsearch.task.batch_size import batch_size_of
from lrsearch.task.task import LoadedTask
from lrsearch.training.task_cache import TaskCache

DATA = TensorDataset(*small.TRAIN)


def loaded(function):
    return LoadedTask(reference="task.py:make", source=None, code={}, target=function)


def with_loader(batch_size=16, shown=True):
    def train():
        loader = DataLoader(DATA, batch_size=batch_size, shuffle=True)
        return loader if shown else list(loader)

    return small.make_task(train=train, batch_size=48)


def test_tensors_are_cut_into_the_tasks_batches():
    assert batch_size_of(small.make_task(batch_size=24), {}) == 24
    assert batch_size_of(small.make_task(batch_size=24), {"batch_size": 8}) == 24


def test_a_loader_brings_its_own():
    assert batch_size_of(with_loader(), {"width": 3}) == 16
    sampler = BatchSampler(RandomSampler(DATA), batch_size=12, drop_last=True)
    sampled = small.make_task(train=lambda: DataLoader(DATA, batch_sampler=sampler))
    assert batch_size_of(sampled, {}) == 12


def test_a_searched_batch_size_is_the_loaders_without_making_it():
    def fails():
        raise AssertionError("the loader was made")

    task = small.make_task(train=fails)
    assert batch_size_of(task, {"batch_size": 8}) == 8
    with pytest.raises(TaskError, match="train raised AssertionError: the loader was made"):
        batch_size_of(task, {})


def test_batches_that_do_not_tell_leave_the_tasks():
    assert batch_size_of(with_loader(shown=False), {}) == 48


def test_a_worker_and_a_warm_start_are_told_the_same():
    def make(batch_size=16, width=1):
        return with_loader(batch_size)

    task = loaded(make)
    cache = TaskCache(task, torch.device("cpu"))
    for params, size in [({}, 16), ({"batch_size": 4}, 4), ({"width": 2}, 16)]:
        assert task.batch_size(params) == cache.batch_size(params) == size
    recipe = small.make_recipe(params={"batch_size": 4})
    _, (train, _) = cache.splits(recipe)
    assert train.batches == len(DATA) // 4
