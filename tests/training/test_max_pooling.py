"""Max pooling of images gives torch's values, indices and gradients, by other operations."""

from contextlib import nullcontext

import pytest
import torch
from small import CLASSES, make_recipe, make_task, make_training, run
from torch import nn
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from trained_together import make_cohort

from lrsearch.training import max_pooling, recorded_step, repeated_step
from lrsearch.training.max_pooling import faster_max_pooling, max_pool_by_channels
from lrsearch.training.one_model import OneModel
from lrsearch.training.recorded_step import Recordings

POOL = torch.ops.aten.max_pool2d_with_indices.default
#: Kernel, stride, padding, dilation, and whether the last window may reach beyond the image.
WINDOWS = [
    ((2, 2), (2, 2), (0, 0), (1, 1), False),
    ((3, 3), (2, 2), (1, 1), (1, 1), False),
    ((3, 2), (1, 3), (0, 0), (1, 1), False),
    ((2, 2), (2, 2), (0, 0), (2, 1), False),
    ((3, 3), (2, 2), (0, 0), (1, 1), True),
]
SHAPES = [(4, 16, 13, 14), (64, 9, 6, 7), (3, 2, 40, 40), (2, 8, 5, 5)]


@pytest.fixture(autouse=True)
def any_size(monkeypatch):
    """Small images too."""
    monkeypatch.setattr(max_pooling, "LEAST_NUMBERS", 1)


class Pools(TorchDispatchMode):
    """The images that torch's own pooling was called with."""

    def __init__(self):
        super().__init__()
        self.images = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func is POOL:
            self.images.append(args[0])
        return func(*args, **(kwargs or {}))


def images_of(shape, kind="normal", dtype=torch.float32):
    images = torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(dtype)
    if kind == "ties":
        return images.round()
    if kind == "gaps":
        images[..., ::3, ::4] = torch.nan
    return images


def same(given, wanted):
    return given.stride() == wanted.stride() and torch.equal(
        given.nan_to_num(9e9), wanted.nan_to_num(9e9)
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
@pytest.mark.parametrize("kind", ["normal", "ties", "gaps"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("window", WINDOWS, ids=str)
def test_values_and_indices_are_torchs(window, shape, kind, dtype):
    images = images_of(shape, kind, dtype)
    wanted = torch.ops.aten.max_pool2d_with_indices(images, *window)
    assert all(map(same, max_pool_by_channels(images, *window), wanted))
    with torch.no_grad(), faster_max_pooling(nn.MaxPool2d(2)):
        assert same(F.max_pool2d(images, *window), wanted[0])
        assert same(torch.max_pool2d(images, *window), wanted[0])


def test_many_channels_are_compared_at_a_time():
    with Pools() as pools:
        max_pool_by_channels(images_of((2, 16, 8, 8)), 2)
        max_pool_by_channels(images_of((2, 3, 8, 8)), 2)
    first, second = pools.images
    assert first.is_contiguous(memory_format=torch.channels_last)
    assert second.is_contiguous()


class Functional(nn.Module):
    def forward(self, images):
        return F.max_pool2d(images, 2)


@pytest.mark.parametrize("shape", [(4, 5, 8, 9), (5, 8, 9)], ids=str)
@pytest.mark.parametrize("model", [nn.MaxPool2d(2), nn.MaxPool2d((2, 3), 2), Functional()])
def test_a_model_is_evaluated_without_torchs_pooling(model, shape):
    images = images_of(shape)
    with torch.no_grad(), Pools() as pools:
        [given] = OneModel(model).outputs(images)
        assert not pools.images
        assert same(given, model(images))
        assert len(pools.images) == 1


@pytest.mark.parametrize(
    "images",
    [images_of((4, 8, 8, 8)).contiguous(memory_format=torch.channels_last), torch.ones(1, 1, 3, 3)],
    ids=["channels last", "few numbers"],
)
def test_what_torch_pools_fast_is_left_to_it(images, monkeypatch):
    monkeypatch.setattr(max_pooling, "LEAST_NUMBERS", 10)
    with torch.no_grad(), Pools() as pools:
        [given] = OneModel(nn.MaxPool2d(2)).outputs(images)
        assert pools.images[0] is images
    assert same(given, F.max_pool2d(images, 2))


def test_indices_are_torchs():
    images = images_of((1, 8, 4, 4))
    with torch.no_grad():
        [given] = OneModel(nn.MaxPool2d(2, return_indices=True)).outputs(images)
    assert all(map(same, given, F.max_pool2d(images, 2, return_indices=True)))


@pytest.mark.parametrize(
    ("pool", "shape", "message"),
    [
        (nn.MaxPool2d(5), (1, 8, 4, 4), "Output size is too small"),
        (nn.MaxPool2d(2, 0), (1, 8, 4, 4), "stride should not be zero"),
        (nn.MaxPool2d(2, (1, 2, 3)), (1, 8, 4, 4), "a tuple of two ints"),
        (nn.MaxPool2d(2, padding=-1), (1, 8, 4, 4), "pad"),
        (nn.MaxPool2d(2), (1, 1, 8, 4, 4), "expected for input"),
    ],
)
def test_errors_are_torchs(pool, shape, message):
    with torch.no_grad(), pytest.raises(RuntimeError, match=message):
        OneModel(pool).outputs(images_of(shape))


@pytest.mark.parametrize("mode", ["backward", "forward"])
def test_a_gradient_inside_of_an_evaluation_is_torchs(mode):
    """Ties go to the first number of a window, where maxima would share the gradient."""
    images, directions = torch.ones(2, 8, 4, 4), images_of((2, 8, 4, 4))

    def pooled(images):
        return F.max_pool2d(images, 2)

    def gradient():
        if mode == "forward":
            with torch.no_grad():
                return torch.func.jvp(pooled, (images,), (directions,))[1]
        given = images.clone().requires_grad_()
        return torch.autograd.grad(pooled(given).sum(), given)[0]

    with faster_max_pooling(nn.MaxPool2d(2)):
        given = gradient()
    assert torch.equal(given, gradient())


def test_a_model_without_pooling_and_a_compiled_one_are_left_alone():
    compiled = nn.Sequential(nn.MaxPool2d(2))
    compiled.compile(backend="eager")
    for model in (nn.Linear(2, 2), compiled, nn.MaxPool1d(2)):
        assert isinstance(faster_max_pooling(model), nullcontext)


def convolutional():
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 9, 3, padding=1),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(36, CLASSES),
    )


def image_task():
    def split(samples):
        return images_of((samples, 1, 8, 8)), torch.arange(samples) % CLASSES

    return make_task(model=convolutional, train=split(48), validation=split(20))


def test_a_trial_and_a_cohort_pool_by_channels_from_the_recorded_step_on(monkeypatch):
    """With the bits of a trial whose module does every step, validations and averages too."""
    monkeypatch.setattr(repeated_step, "RECORD_AFTER", 3)
    monkeypatch.setattr(repeated_step, "CHECK_STEPS", float("-inf"))
    monkeypatch.setattr(recorded_step, "RECORD_AFTER", 2)
    task, recipe = image_task(), make_recipe(optimizer={"name": "adamw", "lr": 0.01})
    plain, recordings = make_training(recipe, task), Recordings()
    with monkeypatch.context() as patch:
        patch.setattr(max_pooling, "LEAST_NUMBERS", float("inf"))
        wanted = run(plain, until=9)
    mine = make_training(recipe, task, recordings)
    given = run(mine, until=8)
    with Pools() as pools:
        given += run(mine, until=9)
    assert all(i.is_contiguous(memory_format=torch.channels_last) for i in pools.images)
    assert len(pools.images) == 2
    assert all(map(torch.equal, mine.parameters, plain.parameters))
    assert all(map(torch.equal, mine.ema.average, plain.ema.average))
    losses = [[(row.val_loss, row.val_loss_ema) for row in rows] for rows in (given, wanted)]
    assert losses[0] == losses[1]
    cohort = make_cohort(2, task, recipe)
    for seed in (1, 2):
        cohort.admit(recipe.model_copy(update={"seed": seed}))
    for _ in range(3):
        cohort.advance(1)
    assert "max_pool_by_channels" in _code(cohort.program.recordings)


def _code(recordings):
    (step,) = recordings._written.values()
    return step.run.__self__.code


def test_a_model_that_pools_is_recorded_as_early_as_a_short_step():
    training = make_training(make_recipe(), image_task(), Recordings())
    training.advance(2)
    step = training._repeated
    step._recordings.note_step(step._key, 1.0, ())
    step._recordings._seconds[step._key] = 1.0
    assert step._record_after(step._key) == repeated_step.RECORD_AFTER
