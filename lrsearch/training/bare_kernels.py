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

#: A step of one group with these gradients; its hyperparameters are read each time.
Kernel = Callable[[list[Tensor]], None]
State = dict[str, Tensor]


class BareKernels:
    """What an optimizer's `step` does from its second step on, to the bit."""

    def __init__(
        self,
        optimizer: Optimizer,
        kernels: list[tuple[list[nn.Parameter], Kernel]],
        idle: list[nn.Parameter],
    ) -> None:
        """`idle` are parameters without gradient, which torch's step leaves alone."""
        self.optimizer, self._kernels, self._idle = optimizer, kernels, idle
        #: What the kernels work on; loading a state gives an optimizer others.
        self._groups, self._state = optimizer.param_groups, optimizer.state
        states = [self._state[p] for parameters, _ in kernels for p in parameters]
        self._counts = [state["step"] for state in states if "step" in state]

    @torch.no_grad()
    def step(self) -> bool:
        """Whether it was done: torch has to where a gradient has come or gone, or the state has."""
        optimizer = self.optimizer
        if optimizer.state is not self._state or optimizer.param_groups is not self._groups:
            return False
        if any(p.grad is not None for p in self._idle):
            return False
        ready = []
        for parameters, kernel in self._kernels:
            grads = [p.grad for p in parameters if p.grad is not None]
            if len(grads) < len(parameters):
                return False
            ready.append((kernel, grads))
        if self._counts:
            torch._foreach_add_(self._counts, 1)
        for kernel, grads in ready:
            kernel(grads)
        return True


def bare_kernels(optimizer: Optimizer) -> BareKernels | None:
    """None where it is not known that the kernels are all that `optimizer.step()` does."""
    kinds: dict[type, Callable[..., Kernel]] = {SGD: _sgd, Adam: _adam, AdamW: _adam}
    make = kinds.get(type(optimizer))
    if make is None or not all(map(_is_simple, optimizer.param_groups)):
        return None
    if _global_optimizer_pre_hooks or _global_optimizer_post_hooks:
        return None
    if optimizer._optimizer_step_pre_hooks or optimizer._optimizer_step_post_hooks:
        return None
    kernels, idle = [], list[nn.Parameter]()
    for group in optimizer.param_groups:
        parameters: list[nn.Parameter] = [p for p in group["params"] if p.grad is not None]
        idle += [p for p in group["params"] if p.grad is None]
        if not parameters:
            continue
        if any(p.grad is None or p.grad.is_sparse for p in parameters) or not _alike(parameters):
            return None
        states = [optimizer.state[p] for p in parameters]
        kernels.append((parameters, make(group, parameters, states)))
    return BareKernels(optimizer, kernels, idle)


def _is_simple(group: ParamGroup) -> bool:
    """Whether the kernel is called once, with plain numbers."""
    plain = bool(group["fused"]) and isinstance(group["lr"], float)
    return plain and not group.get("differentiable") and not group.get("capturable")


def _alike(parameters: list[nn.Parameter]) -> bool:
    """Whether one call takes them all."""
    return len({(p.dtype, p.device) for p in parameters}) == 1


def _sgd(group: ParamGroup, parameters: list[nn.Parameter], states: list[State]) -> Kernel:
    values: list[Tensor] = [*parameters]
    buffers = [state["momentum_buffer"] for state in states] if group["momentum"] else []

    def kernel(grads: list[Tensor]) -> None:
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


def _adam(group: ParamGroup, parameters: list[nn.Parameter], states: list[State]) -> Kernel:
    fused = torch._fused_adamw_ if group["decoupled_weight_decay"] else torch._fused_adam_
    values: list[Tensor] = [*parameters]
    steps, means = [state["step"] for state in states], [state["exp_avg"] for state in states]
    squares = [state["exp_avg_sq"] for state in states]
    most = [state["max_exp_avg_sq"] for state in states] if group["amsgrad"] else []

    def kernel(grads: list[Tensor]) -> None:
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
