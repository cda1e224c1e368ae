"""Data as users have them: any shape of batch, streams, stated epochs, data larger than memory."""

import itertools
from collections import UserDict, namedtuple
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small import BATCH_SIZE, CPU, TRAIN, VALIDATION, make_recipe, make_task, run
from small import make_training as make_solo
from torch.nn.functional import cross_entropy
from torch.nn.utils.rnn import PackedSequence, pack_sequence
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset, get_worker_info
from trained_together import alone, difference, drive, make_cohort

from lrsearch.errors import TaskError
from lrsearch.training import checkpoint_state
from lrsearch.training.data import make_splits, reading, tensors_in, to_device, told_size
from lrsearch.training.data.datasets import DatasetData
from lrsearch.training.solo import SoloTraining
from lrsearch.training.start import steps_per_epoch
from lrsearch.training.task_cache import TaskCache
from lrsearch.trial.validations import make_plan

META = torch.device("meta")


def step(model, batch):
    inputs, targets = batch
    return cross_entropy(model(inputs), targets)


def of_steps(**changes):
    return replace(make_task(), **{"loss": None, "metrics": {}, "step": step, **changes})


def splits(accumulate=1, **changes):
    return make_splits(of_steps(**changes), BATCH_SIZE, CPU, accumulate)


# What a batch may be


@dataclass(frozen=True)
class Record:
    x: torch.Tensor
    name: str
    y: torch.Tensor = field(init=False, default=None)


class Graph:
    """As those of PyG: its tensors are attributes, and it moves itself."""

    def __init__(self, x, edges):
        self.x, self.edges = x, edges

    def to(self, device):
        return Graph(self.x.to(device), self.edges.to(device))


class MovesInPlace(Graph):
    def to(self, device):
        self.x, self.edges = self.x.to(device), self.edges.to(device)


class Encoding(UserDict):
    """As a BatchEncoding: a mapping that is no dict, and moves itself."""

    def to(self, device):
        self.data = {key: value.to(device) for key, value in self.data.items()}
        return self


Pair = namedtuple("Pair", "x y")
X, Y = torch.ones(4, 2), torch.zeros(4)

BATCHES = {
    "tensor": lambda: X,
    "tuple": lambda: (X, Y, X, "text", None, 3),
    "list": lambda: [X, [Y]],
    "named tuple": lambda: Pair(X, Y),
    "mapping": lambda: {"x": X, "of": {"y": Y}, "name": ["a", "b"]},
    "user's mapping": lambda: UserDict(x=X, y=Y),
    "encoding": lambda: Encoding(x=X, y=Y),
    "dataclass": lambda: Record(X, "a"),
    "graph": lambda: Graph(X, Y),
    "moves in place": lambda: MovesInPlace(X, Y),
    "packed": lambda: pack_sequence([torch.ones(3, 2), torch.ones(1, 2)]),
    "nothing": lambda: ("a", None, 1.5),
}


@pytest.mark.parametrize("kind", BATCHES)
def test_every_tensor_of_a_batch_is_moved_and_its_type_is_kept(kind):
    batch = BATCHES[kind]()
    before = [tensor.shape for tensor in tensors_in(batch)]
    moved = to_device(batch, META if kind != "packed" else CPU)
    assert type(moved) is type(batch)
    assert [tensor.shape for tensor in tensors_in(moved)] == before
    if kind == "packed":  # its sizes have to stay on the processor
        assert isinstance(moved, PackedSequence)
    else:
        assert {tensor.device.type for tensor in tensors_in(moved)} <= {"meta"}
        assert len(before) > 0 or kind == "nothing"


def test_text_and_numbers_stay_as_they_are():
    moved = to_device({"a": ["x", None, 3], "b": Record(X, "name")}, META)
    assert moved["a"] == ["x", None, 3]
    assert moved["b"].name == "name"
    assert moved["b"].x.is_meta


@pytest.mark.parametrize(
    ("kind", "size"),
    [("tuple", 4), ("mapping", 4), ("dataclass", 4), ("graph", 4), ("packed", None)],
)
def test_the_size_of_a_batch_is_the_length_that_all_its_tensors_share(kind, size):
    assert told_size(BATCHES[kind]()) == size


# Tensors in any arrangement

ARRANGED = {
    "one": TRAIN[0],
    "tuple": (TRAIN[0], TRAIN[1], TRAIN[0]),
    "list": [TRAIN[0], TRAIN[1], TRAIN[0]],
    "mapping": {"x": TRAIN[0], "y": TRAIN[1]},
    "nested": {"x": (TRAIN[0], TRAIN[0]), "y": TRAIN[1]},
    "dataset": TensorDataset(TRAIN[0], TRAIN[1], TRAIN[0]),
}


@pytest.mark.parametrize("kind", ARRANGED)
def test_tensors_in_any_arrangement_are_batched_in_the_documented_order(kind):
    train, _ = splits(train=ARRANGED[kind])
    source = ARRANGED[kind].tensors if kind == "dataset" else ARRANGED[kind]
    order = torch.randperm(99, generator=torch.Generator().manual_seed(1_000_003 * 2 + 1))
    for number, batch in enumerate(train.train(2, 1, 0)):
        index = order[number * BATCH_SIZE : (number + 1) * BATCH_SIZE]
        for mine, values in zip(tensors_in(batch), tensors_in(source), strict=True):
            assert torch.equal(mine, values[index])
        assert type(batch) is type(source) or kind == "list"
    assert number == train.batches - 1 == 5


def test_tensors_of_several_lengths_are_refused():
    with pytest.raises(TaskError, match=r"^train has tensors of lengths 99, 98, but each needs"):
        splits(train={"x": TRAIN[0], "y": TRAIN[1][:98]})


def test_a_step_task_on_a_mapping_trains_to_the_bits_of_the_pair():
    def of_mapping(model, batch):
        return cross_entropy(model(batch["x"]), batch["y"])

    mapping = replace(
        of_steps(step=of_mapping),
        train={"x": TRAIN[0], "y": TRAIN[1]},
        validation={"x": VALIDATION[0], "y": VALIDATION[1]},
    )
    pair = [row.val_loss for row in run(make_solo(task=make_task()))]
    assert [row.val_loss for row in run(make_solo(task=mapping))] == pair


class OnDisk(Dataset):
    """Rows of a file that is mapped into memory."""

    def __init__(self, path):
        self.rows = np.memmap(path, dtype=np.float32, mode="r").reshape(-1, 6)

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        return torch.from_numpy(self.rows[index].copy()), int(index % 3)


@pytest.mark.parametrize("workers", [None, 2])
def test_data_on_disk_are_read_by_the_row(tmp_path, workers):
    path = tmp_path / "rows"
    TRAIN[0].numpy().tofile(path)
    dataset = OnDisk(path)
    train = dataset
    if workers is not None:
        train = lambda: DataLoader(dataset, batch_size=16, shuffle=True, num_workers=workers)  # noqa: E731
    data, _ = make_splits(make_task(train=train), BATCH_SIZE, CPU)
    assert data.reader.fetch.dataset is dataset  # no copy
    seen = torch.cat([inputs for inputs, _ in data.train(0, 0, 0)])
    known = {tuple(row) for row in TRAIN[0].tolist()}
    assert len({tuple(row) for row in seen.tolist()} & known) == len(seen) == 96


# Epochs of a stated number of steps


@settings(max_examples=30, deadline=None)
@given(
    steps=st.integers(1, 20),
    accumulate=st.integers(1, 3),
    skip=st.integers(0, 40),
    epoch=st.integers(0, 4),
    kind=st.sampled_from(["tensors", "dataset"]),
)
def test_stated_epochs_go_on_through_the_permutations(steps, accumulate, skip, epoch, kind):
    source = TRAIN if kind == "tensors" else TensorDataset(*TRAIN, TRAIN[0])
    train, _ = splits(accumulate, train=source, steps_per_epoch=steps)
    assert train.batches == steps * accumulate
    assert steps_per_epoch(train, accumulate) == steps

    def all_of_them():
        for number in itertools.count():
            order = torch.randperm(99, generator=torch.Generator().manual_seed(number))
            yield from order[:96].view(6, 16)

    first = epoch * train.batches
    expected = list(itertools.islice(all_of_them(), first, first + train.batches))
    given = [batch[1] for batch in train.train(0, epoch, min(skip, train.batches))]
    wanted = [TRAIN[1][index] for index in expected[skip:]]
    assert len(given) == len(wanted)
    assert all(map(torch.equal, given, wanted))


@pytest.mark.parametrize("workers", [0, 2])
def test_a_loader_in_stated_epochs_goes_on_too(workers):
    def make():
        return DataLoader(TensorDataset(*TRAIN), 16, shuffle=True, num_workers=workers)

    whole, _ = make_splits(make_task(train=make), BATCH_SIZE, CPU)
    stated, _ = make_splits(make_task(train=make, steps_per_epoch=4), BATCH_SIZE, CPU)
    passes = [inputs for epoch in range(2) for inputs, _ in whole.train(0, epoch, 0)]
    epochs = [inputs for epoch in range(3) for inputs, _ in stated.train(0, epoch, 0)]
    assert torch.equal(torch.stack(epochs), torch.stack(passes))


# Streams


class Stream(IterableDataset):
    """Numbers from a file, so to speak, in shards by worker, with noise."""

    def __init__(self, samples=70, noise=0.0):
        self.samples, self.noise, self.passes = samples, noise, 0

    def __iter__(self):
        self.passes += 1
        info = get_worker_info()
        first, by = (0, 1) if info is None else (info.id, info.num_workers)
        for i in range(first, self.samples, by):
            noise = self.noise * (np.random.randn() + float(torch.randn(())))
            yield TRAIN[0][i] + noise, TRAIN[1][i]


def stream_task(stream, workers=None, steps=3, **changes):
    train = stream
    if workers is not None:
        train = lambda: DataLoader(stream, 16, drop_last=True, num_workers=workers)  # noqa: E731
    return make_task(train=train, steps_per_epoch=steps, **changes)


def inputs_of(data, epochs, seed=0):
    return torch.stack([x for epoch in epochs for x, _ in data.train(seed, epoch, 0)])


@pytest.mark.parametrize("workers", [None, 0, 2])
def test_a_stream_goes_on_from_epoch_to_epoch_and_begins_anew_at_its_end(workers):
    data, _ = make_splits(stream_task(Stream(), workers), BATCH_SIZE, CPU)
    first, second = inputs_of(data, [0, 1]), inputs_of(data, [2, 3])
    assert data.batches == 3
    alone = [TRAIN[0][i * 16 : (i + 1) * 16] for i in (0, 1, 2, 3)]  # 70 samples: 4 batches
    if workers == 2:  # two shards of 35 samples, two batches each
        shards = [TRAIN[0][0:70:2], TRAIN[0][1:70:2]]
        alone = [shard[i * 16 : (i + 1) * 16] for i in (0, 1) for shard in shards]
    assert torch.equal(torch.cat([first, second]), torch.stack([*alone, *alone, *alone]))


@pytest.mark.parametrize("workers", [None, 0, 2])
def test_a_stream_is_read_the_same_from_any_place(workers):
    data, _ = make_splits(stream_task(Stream(noise=1.0), workers), BATCH_SIZE, CPU)
    whole = inputs_of(data, [0, 1, 2])
    np.random.rand(3)
    assert torch.equal(torch.stack([x for x, _ in data.train(0, 1, 2)]), whole[5:6])
    assert torch.equal(inputs_of(data, [2]), whole[6:])
    assert torch.equal(inputs_of(data, [0, 1, 2]), whole)
    assert not torch.equal(inputs_of(data, [0, 1, 2], seed=1), whole)
    assert not torch.equal(whole[0], whole[4])  # another pass, other noise


@pytest.mark.parametrize("workers", [None, 2])
def test_two_trials_read_a_stream_side_by_side(workers):
    data, _ = make_splits(stream_task(Stream(noise=1.0), workers), BATCH_SIZE, CPU)
    whole = inputs_of(data, [0, 1])
    some = [[], []]
    for epoch in range(2):
        readers = [data.train(0, epoch, 0) for _ in some]
        for _ in range(3):
            for given_to, reader in zip(some, readers, strict=True):
                given_to.append(next(reader)[0])
        del readers
    for given_to in some:
        assert torch.equal(torch.stack(given_to), whole)


def test_a_stream_is_not_read_again_for_the_next_epoch():
    stream = Stream()
    data, _ = make_splits(stream_task(stream, steps=2), BATCH_SIZE, CPU)
    inputs_of(data, [0])
    inputs_of(data, [1])
    assert stream.passes == 1


class Once(IterableDataset):
    """A generator that is used up after one pass."""

    def __init__(self):
        self.rows = iter([(TRAIN[0][i], TRAIN[1][i]) for i in range(40)])

    def __iter__(self):
        return self.rows


def test_a_stream_without_a_batch_is_refused():
    data, _ = make_splits(stream_task(Once()), BATCH_SIZE, CPU)
    with pytest.raises(TaskError, match=r"^train gave no batch in pass 2 over it; its __iter__"):
        inputs_of(data, [0])


def test_a_function_may_return_any_iterable_of_batches():
    def batches():
        for i in range(4):
            yield TRAIN[0][i * 16 : (i + 1) * 16], TRAIN[1][i * 16 : (i + 1) * 16]

    stream, _ = make_splits(make_task(train=batches, steps_per_epoch=3), BATCH_SIZE, CPU)
    rows = [TRAIN[0][i * 16 : (i + 1) * 16] for i in (0, 1, 2, 3, 0, 1)]
    assert torch.equal(inputs_of(stream, [0, 1]), torch.stack(rows))
    known, _ = make_splits(make_task(train=lambda: list(batches())), BATCH_SIZE, CPU)
    assert known.batches == 4
    assert torch.equal(inputs_of(known, [0, 5]), torch.stack([*rows[:4], *rows[:4]]))


@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("workers", [None, 2])
def test_a_trial_on_a_stream_resumes_to_the_same_bits(workers, accumulate):
    def make():
        task = stream_task(Stream(noise=0.3), workers, validation=Stream(), validation_batches=2)
        recipe = make_recipe(epochs=3, accumulate=accumulate)
        data = make_splits(task, BATCH_SIZE, CPU, accumulate)
        plan = make_plan(steps_per_epoch=3, total_steps=9)
        return SoloTraining(task, recipe, plan, data, CPU)

    whole = make()
    rows = run(whole)
    for stop in (2, 3, 7):
        first = make()
        before = run(first, until=stop)
        saved = checkpoint_state.pack(first)
        second = make()
        assert checkpoint_state.unpack(second, saved) is not None
        after = run(second)
        assert [row.val_loss for row in before + after] == [row.val_loss for row in rows]


TOGETHER = {
    "stated epochs of tensors": lambda: make_task(steps_per_epoch=4),
    "stated epochs of a dataset": lambda: make_task(
        train=TensorDataset(*TRAIN), steps_per_epoch=10
    ),
    "stream": lambda: stream_task(Stream(noise=0.3), validation_batches=3),
}


@pytest.mark.parametrize("kind", TOGETHER)
def test_a_cohort_sees_the_batches_that_its_trials_see_alone(kind):
    doubles = {"model": lambda: make_task().model().double()}
    task = replace(TOGETHER[kind](), **doubles, loss=None, metrics={}, step=in_doubles)
    recipes = [make_recipe(optimizer={"name": "sgd", "lr": lr}) for lr in (0.02, 0.1)]
    cohort = make_cohort(2, task=task)
    together, by_themselves = drive(cohort, recipes), alone(recipes, task=task)
    for (mine, rows), (theirs, expected) in zip(together, by_themselves, strict=True):
        assert difference(mine.kept, theirs.kept) < 1e-12
        assert [row.step for row in rows] == [row.step for row in expected]
        losses = [row.val_loss for row in expected]
        assert [row.val_loss for row in rows] == pytest.approx(losses, rel=1e-12)


def in_doubles(model, batch):
    inputs, targets = batch
    return cross_entropy(model(inputs.double()), targets)


# Validation on a stated number of batches


def validated(source, count, **changes):
    task = make_task(validation=source, validation_batches=count, **changes)
    _, data = make_splits(task, BATCH_SIZE, CPU)
    return [torch.cat([x for x, _ in data.validation()]) for _ in range(2)]


@pytest.mark.parametrize("count", [1, 3, 100])
@pytest.mark.parametrize("workers", [None, 0, 2])
def test_a_validation_takes_the_first_batches_each_time(count, workers):
    sources = [VALIDATION, TensorDataset(*VALIDATION, VALIDATION[0])]
    if workers is not None:
        pairs = TensorDataset(*VALIDATION)
        sources = [lambda: DataLoader(pairs, 16, num_workers=workers)]
    for source in sources:
        if isinstance(source, TensorDataset):
            source = TensorDataset(*VALIDATION)
        one, other = validated(source, count)
        assert torch.equal(one, VALIDATION[0][: count * 16])
        assert torch.equal(other, one)


@pytest.mark.parametrize("workers", [None, 2])
def test_a_stream_validates_on_its_first_batches(workers):
    stream = Stream(noise=1.0)
    source = stream if workers is None else lambda: DataLoader(stream, 16, num_workers=workers)
    one, other = validated(source, 2)
    assert len(one) == 32
    assert torch.equal(one, other)


def test_the_samples_of_a_validation_do_not_depend_on_the_batch_size_of_a_recipe():
    task = make_task(validation_batches=2)
    for size in (4, 16, 32):
        _, data = make_splits(task, size, CPU)
        assert sum(len(x) for x, _ in data.validation()) == 2 * BATCH_SIZE


# Carried state


@pytest.mark.parametrize("train", [TRAIN, TensorDataset(*TRAIN, TRAIN[0])])
def test_what_is_carried_needs_batches_in_their_order(train):
    task = of_steps(train=train, carry=lambda model: torch.zeros(1))
    with pytest.raises(TaskError, match=r"^the task has carry, .* lrsearch shuffles train; give"):
        make_splits(task, BATCH_SIZE, CPU)


def test_a_sequence_of_ones_own_batches_is_read_in_its_order():
    rows = list(zip(TRAIN[0].split(16), TRAIN[1].split(16), strict=True))
    task = of_steps(train=lambda: DataLoader(rows, batch_size=None), carry=lambda model: 0)
    data, _ = make_splits(task, BATCH_SIZE, CPU)
    assert data.batches == 7
    assert torch.equal(torch.cat([x for x, _ in data.train(0, 3, 0)]), TRAIN[0])


# Workers of data that wait


def test_workers_of_other_params_end():
    def task(size=16):
        def make():
            return DataLoader(TensorDataset(*TRAIN), size, shuffle=True, num_workers=1)

        return make_task(train=make)

    class Loaded:
        def make(self, params):
            return task(**params)

    cache = TaskCache(Loaded(), CPU)
    processes = []
    for size in (8, 16):
        _, (train, _) = cache.splits(make_recipe(params={"size": size}))
        next(train.train(0, 0, 0))
        processes += train.reader._loader._iterator._workers
    processes[0].join(10)
    assert [process.is_alive() for process in processes] == [False, True]


@pytest.mark.parametrize(("device", "pins"), [("cpu", False), ("cuda", True), ("meta", False)])
def test_batches_for_a_cuda_device_are_read_into_pinned_memory(device, pins, monkeypatch):
    asked = []

    def loader(dataset, **arguments):
        asked.append(arguments.pop("pin_memory", False))
        return DataLoader(dataset, **arguments)

    monkeypatch.setattr(reading, "DataLoader", loader)
    monkeypatch.setattr(reading, "to_device", lambda batch, device: batch)
    data = DatasetData(TensorDataset(*TRAIN), BATCH_SIZE, torch.device(device))
    assert len(list(data.train(0, 0, 0))) == data.batches
    assert asked == [pins]
