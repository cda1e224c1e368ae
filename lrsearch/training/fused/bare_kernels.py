"""torch's fused kernels without torch.optim around them.

`Optimizer.step` spends about 25 us of Python on each group before it calls the kernel that does the
work. For the optimizers here that call is all there is, so it is made with the same arguments.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Optimizer
from torch.optim.optimizer import _global_optimizer_post_hooks, _global_optimizer_pre_hooks

from lrsearch.training.flat_optimizer import ParamGroup

#: What is done for one parameter in a step; hyperparameters are read from its group each time.
Kernel = Callable[[], None]
State = dict[str, Tensor]


def bare_kernels(optimizer: Optimizer) -> Kernel | None:
    """What `optimizer.step()` does from its second step on, to the bit; None if that is unknown.

    The parameters keep their gradients, groups and state as long as it is called.
    """
    kinds: dict[type, Callable[..., Kernel]] = {SGD: _sgd, Adam: _adam, AdamW: _adam}
    make = kinds.get(type(optimizer))
    if make is None or not all(map(_is_simple, optimizer.param_groups)):
        return None
    if _global_optimizer_pre_hooks or _global_optimizer_post_hooks:
        return None
    given = [(group, p) for group in optimizer.param_groups for p in group["params"]]
    if any(p.grad is None for _, p in given):
        return None
    states = [optimizer.state[p] for _, p in given]
    kernels = [make(group, p, state) for (group, p), state in zip(given, states, strict=True)]
    counts = [state["step"] for state in states if "step" in state]

    @torch.no_grad()
    def step() -> None:
        if counts:
            torch._foreach_add_(counts, 1)
        for kernel in kernels:
            kernel()

    return step


def _is_simple(group: ParamGroup) -> bool:
    """Whether the kernel is called once for each parameter, with plain numbers."""
    plain = bool(group["fused"]) and isinstance(group["lr"], float)
    return plain and not group.get("differentiable") and not group.get("capturable")


def _grads(p: nn.Parameter) -> list[Tensor]:
    assert p.grad is not None
    return [p.grad]


def _sgd(group: ParamGroup, p: nn.Parameter, state: State) -> Kernel:
    values: list[Tensor] = [p]
    grads = _grads(p)
    buffers = [state["momentum_buffer"]] if group["momentum"] else []

    def kernel() -> None:
        torch._fused_sgd_(
            values,
            grads,
            buffers,
            lr=group["lr"],
            momentum=group["momentum"],
            weight_decay=group["weight_decay"],
            dampening=group["dampening"],
            nesterov=group["nesterov"],
            maximize=group["maximize"],
            is_first_step=False,
        )

    return kernel


def _adam(group: ParamGroup, p: nn.Parameter, state: State) -> Kernel:
    fused = torch._fused_adamw_ if group["decoupled_weight_decay"] else torch._fused_adam_
    most = [state["max_exp_avg_sq"]] if group["amsgrad"] else []
    values: list[Tensor] = [p]
    grads, steps = _grads(p), [state["step"]]
    means, squares = [state["exp_avg"]], [state["exp_avg_sq"]]

    def kernel() -> None:
        beta1, beta2 = group["betas"]
        fused(
            values,
            grads,
            means,
            squares,
            most,
            steps,
            lr=group["lr"],
            beta1=beta1,
            beta2=beta2,
            weight_decay=group["weight_decay"],
            eps=group["eps"],
            amsgrad=group["amsgrad"],
            maximize=group["maximize"],
        )

    return kernel
