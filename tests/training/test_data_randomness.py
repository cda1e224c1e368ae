"""Random numbers of data: the same for the same seed, epoch and batch, however they are read."""

import copy
import itertools
import random
from functools import partial

import numpy as np
import pytest
import torch
from numpy.random.mtrand import get_bit_generator, set_bit_generator
from small import BATCH_SIZE, CPU, FEATURES, STEPS_PER_EPOCH, TRAIN, make_recipe, make_task, run
from small import make_training as make_solo
from torch import nn
from torch.nn.functional import cross_entropy
from torch.utils.data import (
    DataLoader,
    Dataset,
    RandomSampler,
    WeightedRandomSampler,
    get_worker_info,
)

from lrsearch.errors import TaskError
from lrsearch.training import checkpoint_state
from lrsearch.training.data import check_repeats, make_data, make_splits
from lrsearch.training.data.generators import generators_in, seed_generators
from lrsearch.training.randomness import (
    other_random_state,
    seed_model,
    set_other_random_state,
    validation_numbers,
)

AT_MODULE_LEVEL = np.random.default_rng(0)


class Noisy(Dataset):
    """The training set with augmentation that draws from everything that people draw from."""

    def __init__(self):
        self.python, self.old = random.Random(1), np.random.RandomState(1)
        self.torch = torch.Generator()
        self.late = None

    def __len__(self):
        return len(TRAIN[0])

    def __getitem__(self, index):
        if self.late is None:
            self.late = np.random.default_rng()
        drawn = [
            np.random.randn(),
            random.gauss(0, 1),
            float(torch.randn(())),
            self.python.random(),
            self.old.normal(),
            self.late.normal(),
            AT_MODULE_LEVEL.normal(),
            float(torch.rand((), generator=self.torch)),
        ]
        return TRAIN[0][index] + 0.1 * sum(drawn), TRAIN[1][index]


def collate(samples, rng=None):
    inputs, targets = torch.utils.data.default_collate(samples)
    return inputs * (1 + 0.1 * rng.random()), targets + 0 * random.getrandbits(3)


def loader_of(dataset=None, **changes):
    dataset = dataset or Noisy()
    fields = {
        "batch_size": BATCH_SIZE,
        "shuffle": True,
        "collate_fn": partial(collate, rng=np.random.default_rng()),
    }
    return lambda: DataLoader(dataset, **{**fields, **changes})


def disturb():
    """A process has drawn who knows how much."""
    torch.rand(random.randrange(1, 9))
    np.random.rand(3)
    AT_MODULE_LEVEL.random()


def batches_of(data, epoch=0, skip=0, seed=0):
    disturb()
    return torch.stack([inputs for inputs, _ in data.train(seed, epoch, skip)])


def test_every_batch_is_the_same_whatever_reads_it():
    one = make_data(loader_of(), BATCH_SIZE, CPU, "train")
    two = make_data(loader_of(num_workers=2), BATCH_SIZE, CPU, "train")
    first, second = batches_of(one), batches_of(one, epoch=1)
    for data in (one, two, one):
        assert torch.equal(batches_of(data), first)
        assert torch.equal(batches_of(data, epoch=1), second)
        assert torch.equal(batches_of(data, skip=3), first[3:])
    assert not torch.equal(batches_of(one, seed=1), first)
    for mine, other in itertools.combinations(first, 2):
        assert not torch.equal(mine, other)


def test_batches_of_one_sample_twice_differ():
    twice = make_data(
        loader_of(sampler=[0] * 2 * BATCH_SIZE, shuffle=None), BATCH_SIZE, CPU, "train"
    )
    one, other = batches_of(twice)
    assert not torch.equal(one, other)
    assert not torch.equal(one[0], one[1])


@pytest.mark.parametrize("workers", [0, 2])
def test_a_pass_goes_on_after_another_was_begun_over_the_same_data(workers):
    data = make_data(loader_of(num_workers=workers), BATCH_SIZE, CPU, "train")
    expected = [batches_of(data, epoch) for epoch in range(2)]
    passes = [data.train(0, epoch, 0) for epoch in range(2)]
    for step in range(STEPS_PER_EPOCH):
        for batches, batch in zip(passes, (each[step] for each in expected), strict=True):
            assert torch.equal(next(batches)[0], batch)
    assert [next(batches, None) for batches in passes] == [None, None]


def test_workers_stay_from_epoch_to_epoch_and_end_when_they_are_let_go():
    data = make_data(loader_of(num_workers=2), BATCH_SIZE, CPU, "train")
    batches_of(data)
    loader = data.reader._loader
    workers = list(loader._iterator._workers)
    next(data.train(0, 1, 0))
    batches_of(data, epoch=2)
    assert list(loader._iterator._workers) == workers
    assert all(worker.is_alive() for worker in workers)
    del loader
    data.reader.close()
    for worker in workers:
        worker.join(10)
    assert not any(worker.is_alive() for worker in workers)
    batches_of(data)


class Model(nn.Module):
    """Draws from all streams of the process, in training and in evaluation."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(FEATURES, 3)
        with torch.no_grad():
            self.layer.bias.fill_(random.random() + np.random.rand())

    def forward(self, inputs):
        noise = random.random() + np.random.rand() + np.random.normal() + torch.randn(inputs.shape)
        return self.layer(inputs + 0.1 * noise)


def make_training(workers, **interval):
    task = make_task(
        model=Model,
        train=loader_of(num_workers=workers),
        validation=loader_of(num_workers=workers, batch_size=40),
        metrics={},
    )
    return make_solo(make_recipe(epochs=2), task, **interval)


def weights(training):
    return torch.cat([p.detach().flatten() for p in training.model.parameters()])


@pytest.mark.parametrize("workers", [0, 2])
def test_a_trial_is_the_same_to_the_bit_interrupted_or_not(workers):
    whole = make_training(0)
    rows = run(whole)
    for stop in (2, STEPS_PER_EPOCH, STEPS_PER_EPOCH + 3):
        first = make_training(workers)
        before = run(first, until=stop)
        saved = checkpoint_state.pack(first)
        disturb()
        second = make_training(workers)
        assert checkpoint_state.unpack(second, saved) is not None
        after = run(second)
        assert torch.equal(weights(second), weights(whole))
        values = [(row.val_loss, row.val_loss_ema) for row in before + after]
        assert values == [(row.val_loss, row.val_loss_ema) for row in rows]


def test_how_often_a_trial_is_validated_does_not_change_it():
    some = []
    for steps in (1, 5, 12):
        some.append(make_training(0, validate_steps=steps))
        run(some[-1])
    assert torch.equal(weights(some[0]), weights(some[1]))
    assert torch.equal(weights(some[0]), weights(some[2]))
    validated = [float(training.validate(with_ema=True).val_loss_ema) for training in some]
    assert len(set(validated)) == 1


def draw():
    return random.gauss(0, 1), random.random(), np.random.normal(), np.random.rand(), torch.rand(3)


def test_the_state_of_python_and_numpy_is_kept_exactly():
    seed_model(3)
    for _ in range(3):  # an odd number of normals leaves one to come
        draw()
        state, of_torch = other_random_state(), torch.get_rng_state()
        expected = draw()
        disturb()
        set_other_random_state(state)
        torch.set_rng_state(of_torch)
        assert str(draw()) == str(expected)


def test_a_model_is_seeded_as_a_script_would_seed_it():
    seed_model(7)
    mine = draw()
    torch.manual_seed(7)
    random.seed(7)
    np.random.seed(7)
    assert str(draw()) == str(mine)


def test_numpy_tells_and_takes_its_state_as_in_a_script():
    """A user's code in a model or a metric, by the names that numpy has."""
    seed_model(7)
    told, whole = np.random.get_state(), np.random.get_state(legacy=False)
    own = np.random.RandomState(7).get_state()
    assert [str(part) for part in told] == [str(part) for part in own]
    wanted = np.random.normal(size=3).tolist()
    for state in (told, whole):
        np.random.set_state(state)
        assert np.random.normal(size=3).tolist() == wanted
    assert copy.deepcopy(get_bit_generator()).random_raw() == get_bit_generator().random_raw()


@pytest.mark.parametrize("own", [False, True], ids=["the model's bits", "a user's bits"])
@pytest.mark.parametrize("normals", [0, 1], ids=["none to come", "one to come"])
def test_a_validation_draws_the_same_and_leaves_no_trace(normals, own):
    """numpy draws normal numbers in pairs, and keeps the second."""
    seed_model(5)
    if own:
        set_bit_generator(np.random.MT19937(5))
    for _ in range(normals):
        np.random.normal()
    drawn = []
    before = other_random_state(), torch.get_rng_state()
    for _ in range(2):
        with validation_numbers(CPU):
            drawn.append(str(draw()))
    assert drawn[0] == drawn[1]
    assert torch.equal(other_random_state(), before[0])
    assert torch.equal(torch.get_rng_state(), before[1])


# Generators that objects keep


class Slotted:
    __slots__ = ("rng",)

    def __init__(self, rng):
        self.rng = rng


def uses_the_module():
    return AT_MODULE_LEVEL.random()


def holders(rng):
    yield "attribute", Noisy.__new__(Noisy), {"rng": rng}
    for name, value in (
        ("list", [1, [rng]]),
        ("mapping", {"a": {"b": rng}}),
        ("partial", partial(collate, rng=rng)),
        ("closure", lambda: rng.random()),
        ("slots", Slotted(rng)),
        ("method", Holder(rng).draw),
    ):
        yield name, value, {}


class Holder:
    def __init__(self, rng):
        self.rng = rng

    def draw(self):
        return self.rng.random()


@pytest.mark.parametrize(
    "name", ["attribute", "list", "mapping", "partial", "closure", "slots", "method"]
)
def test_a_generator_is_found_wherever_it_is_kept(name):
    rng = np.random.default_rng(5)
    value, attributes = next((v, a) for n, v, a in holders(rng) if n == name)
    for attribute, content in attributes.items():
        setattr(value, attribute, content)
    assert any(found is rng for found in generators_in(value))


def test_a_generator_of_the_module_is_found_by_the_functions_that_use_it():
    assert generators_in(uses_the_module) == [AT_MODULE_LEVEL]


def test_the_search_for_generators_ends_soon():
    loop = []
    loop.append(loop)
    rows = [[object() for _ in range(100)] for _ in range(2_000)]
    assert generators_in(loop, rows, range(10**9), np.zeros(10), "text", None) == []


def test_generators_of_every_kind_are_seeded_each_differently():
    all_kinds = [
        random.Random(),
        np.random.default_rng(),
        np.random.Generator(np.random.MT19937()),
        np.random.RandomState(),
        torch.Generator(),
        random.Random(),
    ]

    def numbers():
        return [
            float(torch.rand((), generator=one)) if isinstance(one, torch.Generator)
            else one.random() if hasattr(one, "random") else one.rand()
            for one in all_kinds
        ]  # fmt: skip

    seed_generators(all_kinds, 3)
    first = numbers()
    seed_generators(all_kinds, 3)
    assert numbers() == first
    assert len(set(first)) == len(all_kinds)
    seed_generators(all_kinds, 4)
    assert not set(numbers()) & set(first)


# Samplers and workers of the user's own


def draws_anew(dataset):
    weights = torch.arange(1.0, 100.0)
    return {
        "replacement": RandomSampler(dataset, replacement=True, num_samples=64),
        "weighted": WeightedRandomSampler(weights, 64, generator=torch.Generator()),
    }


@pytest.mark.parametrize("kind", ["replacement", "weighted"])
def test_sampling_with_replacement_is_seeded(kind):
    dataset = torch.utils.data.TensorDataset(*TRAIN)

    def make():
        return DataLoader(dataset, batch_size=BATCH_SIZE, sampler=draws_anew(dataset)[kind])

    one, other = (make_data(make, BATCH_SIZE, CPU, "train") for _ in range(2))
    assert one.batches == 4
    assert torch.equal(batches_of(one, epoch=3), batches_of(other, epoch=3))
    assert not torch.equal(batches_of(one, epoch=3), batches_of(one, epoch=4))


class NumpySampler:
    """Draws from numpy's global stream and from a generator of its own, in turns."""

    def __init__(self):
        self.rng = np.random.default_rng()

    def __len__(self):
        return 96

    def __iter__(self):
        for _ in range(48):
            yield int(np.random.randint(99))
            yield int(self.rng.integers(99))


@pytest.mark.parametrize("workers", [0, 2])
def test_a_sampler_may_draw_by_numpy(workers):
    make = loader_of(sampler=NumpySampler(), shuffle=None, num_workers=workers)
    data = make_data(make, BATCH_SIZE, CPU, "train")
    assert torch.equal(batches_of(data), batches_of(data))
    assert not torch.equal(batches_of(data), batches_of(data, epoch=1))


def start(number):
    info = get_worker_info()
    info.dataset.mark = 100.0 * (1 + info.id * 0)


class Marked(Dataset):
    mark = 0.0

    def __len__(self):
        return 32

    def __getitem__(self, index):
        return torch.full((2,), self.mark), index


def test_a_worker_is_started_by_the_users_own_function_and_dataset():
    make = loader_of(Marked(), num_workers=1, worker_init_fn=start, collate_fn=None)
    assert (batches_of(make_data(make, BATCH_SIZE, CPU, "train")) == 100.0).all()


class Batched(Dataset):
    """Gives samples many at a time, as torch asks for where it can."""

    def __len__(self):
        return 32

    def __getitems__(self, indices):
        return [(torch.tensor([float(i)]), len(indices)) for i in indices]


def test_a_dataset_is_asked_for_many_samples_where_it_can_give_them():
    data = make_data(loader_of(Batched(), collate_fn=None), BATCH_SIZE, CPU, "train")
    for inputs, sizes in data.train(0, 0, 0):
        assert inputs.shape == (BATCH_SIZE, 1)
        assert (sizes == BATCH_SIZE).all()


class Early(Noisy):
    """Has all its generators before it is read."""

    def __init__(self):
        super().__init__()
        self.late = np.random.default_rng()


class OwnIteration(DataLoader):
    def __iter__(self):
        for inputs, targets in super().__iter__():
            yield inputs + np.random.rand() + random.random(), targets


@pytest.mark.parametrize("workers", [0, 2])
def test_a_loader_that_iterates_by_itself_is_seeded_by_epoch(workers):
    def make():
        return OwnIteration(Early(), batch_size=BATCH_SIZE, shuffle=True, num_workers=workers)

    data = make_data(make, BATCH_SIZE, CPU, "train")
    first = batches_of(data)
    assert torch.equal(batches_of(data), first)
    assert torch.equal(batches_of(data, skip=4), first[4:])
    assert not torch.equal(batches_of(data, epoch=1), first)


# What cannot be seeded


class Unseeded(Noisy):
    def __getitem__(self, index):
        return TRAIN[0][index] + np.random.default_rng().random(), TRAIN[1][index]


def splits_of(train, validation=None):
    task = make_task(train=train, **({"validation": validation} if validation else {}))
    return make_splits(task, BATCH_SIZE, CPU)


@pytest.mark.parametrize("workers", [0, 1])
def test_data_that_differ_each_time_are_refused(workers):
    with pytest.raises(TaskError, match=r"^train gives another batch 1 when it is read again"):
        check_repeats(*splits_of(loader_of(Unseeded(), num_workers=workers)))
    with pytest.raises(TaskError, match=r"^validation gives another batch 1 when"):
        check_repeats(*splits_of(TRAIN, loader_of(Unseeded(), num_workers=workers)))


@pytest.mark.parametrize("train", [TRAIN, Noisy(), loader_of(), loader_of(num_workers=1)])
def test_data_that_are_seeded_are_not_refused(train):
    check_repeats(*splits_of(train, Noisy()))


def test_a_missing_number_is_equal_to_itself():
    class Missing(Noisy):
        def __getitem__(self, index):
            return torch.tensor([float("nan"), index]), "text", index

    check_repeats(*splits_of(Missing(), Missing()))


def test_loss_of_an_augmented_task_is_the_same_for_six_trials():
    losses = set()
    for workers in (0, 2, 0, 2, 0, 2):
        task = make_task(train=loader_of(num_workers=workers), loss=cross_entropy)
        losses.add(run(make_solo(make_recipe(epochs=2), task))[-1].val_loss)
        disturb()
    assert len(losses) == 1
