"""torch's fused kernels by themselves do what torch.optim does with them, to the bit."""

import pytest
import torch
from torch import nn
from torch.optim import SGD, Adagrad, Adam, AdamW
from torch.optim.optimizer import register_optimizer_step_pre_hook

from lrsearch.training.bare_kernels import bare_kernels

OPTIMIZERS = {
    "sgd": (SGD, {}),
    "sgd, decay": (SGD, {"weight_decay": 0.1}),
    "momentum": (SGD, {"momentum": 0.9, "dampening": 0.1}),
    "nesterov, maximize": (SGD, {"momentum": 0.8, "nesterov": True, "maximize": True}),
    "adam": (Adam, {"weight_decay": 0.1}),
    "adam, amsgrad": (Adam, {"amsgrad": True}),
    "adamw": (AdamW, {"betas": (0.8, 0.99), "eps": 1e-6}),
    "adamw, maximize": (AdamW, {"maximize": True}),
}


def made(kind, arguments, idle=()):
    """Three groups with learning rates of their own, one of two parameters; `idle` have no
    gradient."""
    torch.manual_seed(0)
    parameters = [nn.Parameter(torch.randn(37)) for _ in range(4)]
    for number, parameter in enumerate(parameters):
        parameter.grad = None if number in idle else torch.zeros_like(parameter)
    groups = [{"params": parameters[:2]}, {"params": parameters[2:3], "lr": 0.3}]
    groups.append({"params": parameters[3:], "lr": 1e-4})
    return parameters, kind(groups, lr=0.01, fused=True, **arguments)


def train(parameters, optimizer, bare):
    """Six steps with gradients, rates and momenta that change; the first is torch's."""
    torch.manual_seed(1)
    kernels = None
    for number in range(6):
        for parameter in parameters:
            if parameter.grad is not None:
                parameter.grad.normal_()
        if kernels is None:
            optimizer.step()
            kernels = bare_kernels(optimizer) if bare else None
            assert kernels is not None or not bare
        else:
            assert kernels.step()
        for group in optimizer.param_groups:
            group["lr"] *= 0.7
            if "betas" in group:
                group["betas"] = (0.5 + 0.05 * number, 0.99)
            elif group["momentum"]:
                group["momentum"] = 0.5 + 0.05 * number
    return [*parameters, *(v for state in optimizer.state.values() for v in state.values())]


@pytest.mark.parametrize("idle", [(), (1, 2)], ids=["all", "some without gradient"])
@pytest.mark.parametrize(("kind", "arguments"), OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_bare_kernels_give_torchs_bits(kind, arguments, idle):
    plain, fast = (train(*made(kind, arguments, idle), bare=bare) for bare in (False, True))
    assert len(plain) == len(fast)
    assert all(a is b is None or torch.equal(a, b) for a, b in zip(plain, fast, strict=True))


def test_torch_steps_where_gradients_or_the_state_have_gone():
    parameters, optimizer = made(AdamW, {})
    optimizer.step()
    kernels = bare_kernels(optimizer)
    assert kernels.step()
    before = [p.detach().clone() for p in parameters]
    kept, parameters[1].grad = parameters[1].grad, None
    assert not kernels.step()
    parameters[1].grad = kept
    optimizer.load_state_dict(optimizer.state_dict())
    assert not kernels.step()
    assert all(map(torch.equal, before, parameters))


def test_torch_steps_where_a_gradient_comes_later():
    parameters, optimizer = made(AdamW, {}, idle=[1])
    optimizer.step()
    kernels = bare_kernels(optimizer)
    assert kernels.step()
    before = [p.detach().clone() for p in parameters]
    parameters[1].grad = torch.ones_like(parameters[1])
    assert not kernels.step()
    assert all(map(torch.equal, before, parameters))
    optimizer.step()
    assert bare_kernels(optimizer).step()
    assert [int(optimizer.state[p]["step"]) for p in parameters] == [4, 2, 4, 4]


def test_hooks_of_one_optimizer_are_called():
    _, optimizer = made(SGD, {})
    optimizer.step()
    optimizer.register_step_post_hook(lambda *_: None)
    assert bare_kernels(optimizer) is None


class Own(AdamW):
    """A user's class, which may do anything in `step`."""


@pytest.mark.parametrize(
    ("kind", "arguments"),
    [
        (AdamW, {"fused": False}),
        (Own, {"fused": True}),
        (Adagrad, {"fused": True}),
        (AdamW, {"fused": True, "lr": torch.tensor(0.1)}),
    ],
    ids=["not fused", "a class of one's own", "another class", "a tensor's rate"],
)
def test_what_is_not_known_is_left_to_torch(kind, arguments):
    parameter = nn.Parameter(torch.ones(3))
    parameter.grad = torch.ones(3)
    optimizer = kind([parameter], **{"lr": 0.1, **arguments})
    optimizer.step()
    assert bare_kernels(optimizer) is None


def test_hooks_of_all_optimizers_are_called():
    _, optimizer = made(SGD, {})
    optimizer.step()
    handle = register_optimizer_step_pre_hook(lambda *_: None)
    try:
        assert bare_kernels(optimizer) is None
    finally:
        handle.remove()
    assert bare_kernels(optimizer) is not None
