"""Denormal numbers are zero while an optimizer steps, and weights are the same to the bit."""

import pytest
import small
import torch
from torch import nn, optim

from lrsearch.training import trial_training
from lrsearch.training.denormals import FlushDenormals, flushed_steps, is_flushed
from lrsearch.training.fused import joint_optimizer

SMALLEST_NORMAL = torch.finfo(torch.float32).tiny
OPTIMIZERS = {
    "sgd": (optim.SGD, {"momentum": 0.9}),
    "sgd, fused": (optim.SGD, {"momentum": 0.9, "nesterov": True, "fused": True}),
    "adam": (optim.Adam, {}),
    "adam, amsgrad, fused": (optim.Adam, {"amsgrad": True, "fused": True}),
    "adamw, fused": (optim.AdamW, {"fused": True}),
    "adamw, least eps": (optim.AdamW, {"eps": 1e-10}),
    "nadam": (optim.NAdam, {}),
    "radam": (optim.RAdam, {}),
    "adamax": (optim.Adamax, {}),
    "rmsprop": (optim.RMSprop, {"momentum": 0.9, "centered": True}),
    "adagrad": (optim.Adagrad, {}),
    "adadelta": (optim.Adadelta, {}),
}


@pytest.fixture(autouse=True)
def plain_mode():
    """Every test begins and ends with denormal numbers as they are."""
    assert not is_flushed()
    yield
    torch.set_flush_denormal(False)


def trained(name, *, flushed):
    """A weight after 300 steps of which gradients come near zero, and the denormals of its state.

    Each gradient has a size of its own between 1e-45 and 1; some end after a third of the steps.
    """
    kind, arguments = OPTIMIZERS[name]
    generator = torch.Generator().manual_seed(0)
    weight = nn.Parameter(torch.randn(500, generator=generator))
    sizes = 10 ** (-45 * torch.rand(500, generator=generator, dtype=torch.float64))
    optimizer = kind([weight], lr=0.01, **arguments)
    context = flushed_steps(optimizer)
    assert isinstance(context, FlushDenormals)
    for step in range(300):
        signs = torch.randn(500, generator=generator, dtype=torch.float64)
        weight.grad = (signs * sizes).float()
        if step > 100:
            weight.grad[::2] = 0
        if flushed:
            with context:
                optimizer.step()
        else:
            optimizer.step()
    numbers = torch.cat(
        [v.abs() for v in optimizer.state[weight].values() if v is not None and v.ndim]
    )
    return weight.detach(), int(((numbers > 0) & (numbers < SMALLEST_NORMAL)).sum())


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_weights_are_the_same_to_the_bit(name):
    weight, denormals = trained(name, flushed=False)
    assert denormals
    flushed, left = trained(name, flushed=True)
    assert torch.equal(weight, flushed)
    assert weight.abs().min() > 1e-18  # what the promise is for
    assert not left


@pytest.mark.parametrize(
    "make",
    [
        lambda weight: optim.Rprop([weight]),
        lambda weight: optim.AdamW([weight], eps=1e-20),
        lambda weight: type("Own", (optim.SGD,), {})([weight], lr=0.1),
    ],
    ids=["signs", "a small eps", "an unknown class"],
)
def test_an_optimizer_that_small_numbers_may_move_steps_with_them(make):
    with flushed_steps(make(nn.Parameter(torch.ones(3)))):
        assert not is_flushed()


def test_the_mode_is_left_as_it_was_after_an_error_too():
    context = FlushDenormals()
    with context:
        assert is_flushed()
    assert not is_flushed()
    with pytest.raises(RuntimeError), context:
        torch.ones(2) @ torch.ones(3)
    assert not is_flushed()
    torch.set_flush_denormal(True)  # as a user's own code may
    with FlushDenormals():
        assert is_flushed()
    assert is_flushed()


class Noting:
    """In place of an optimizer's kernels: notes the mode, and leaves the step to torch."""

    seen: list[bool]

    def __init__(self, optimizer):
        del optimizer

    def step(self):
        Noting.seen.append(is_flushed())
        return False


def test_every_step_of_a_trial_alone_is_in_that_mode(monkeypatch):
    monkeypatch.setattr(Noting, "seen", [], raising=False)
    monkeypatch.setattr(trial_training, "bare_kernels", Noting)
    training = small.make_training()
    small.run(training, until=5)
    assert Noting.seen == [True] * 4  # the first step is torch's
    assert not is_flushed()


def test_every_step_of_trials_together_is_in_that_mode(monkeypatch):
    monkeypatch.setattr(Noting, "seen", [], raising=False)
    monkeypatch.setattr(joint_optimizer, "bare_kernels", Noting)
    trainings = [small.make_training(small.make_recipe(seed=seed)) for seed in (1, 2)]
    joint = joint_optimizer.JointOptimizer(trainings)
    for _ in range(3):
        for training in trainings:
            training.row.grads.fill_(0.1)
            training.optimizer.param_groups[0]["params"][0].grad = training.row.grads
        joint.step(last=False)
    assert Noting.seen == [True] * 2
    assert not is_flushed()


def test_whether_a_trial_keeps_denormals_does_not_depend_on_who_trains_beside_it():
    eps = (1e-8, 1e-20, 1e-8)
    recipes = [
        small.make_recipe(optimizer={"name": "adamw", "lr": 0.01, "eps": each}) for each in eps
    ]
    trainings = [small.make_training(recipe) for recipe in recipes]
    joint = joint_optimizer.joint_optimizers(trainings)
    assert [each.trainings for each in joint] == [[trainings[0], trainings[2]], [trainings[1]]]
