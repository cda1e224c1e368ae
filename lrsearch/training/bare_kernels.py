"""torch's fused kernels without torch.optim around them.

`Optimizer.step` spends about 25 us of Python on each group before it calls the kernel that does the
work. For the optimizers here that call is all there is, so it is made with the same arguments.

The kernels take numbers below the smallest normal one (1.2e-38 in float32) as zero. A momentum
whose gradient has become zero, that of a pixel that is never lit for one, shrinks to there in about
800 steps and then stays, and a processor works on such numbers many times as long: a step of the
digits MLP took 390 us of CPU after 1,000 steps, and 190 to 230 this way. A weight of at least 1e-20
gets the same bits either way, as what such a momentum adds is far below its last digit: SGD adds lr
times a number below 1.2e-38, Adam at most that over (1 - beta1) eps, 1e-28 for LEAST_EPS.
"""

import sys
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Optimizer
from torch.optim.optimizer import _global_optimizer_post_hooks, _global_optimizer_pre_hooks

from lrsearch.training.flat_optimizer import ParamGroup

#: A step of one group with these gradients; its hyperparameters are read each time.
Kernel = Callable[[list[Tensor]], None]
State = dict[str, Tensor]
#: What a kernel works on, and the kernel.
_Of = tuple[list[nn.Parameter], Kernel]
#: Adam divides by sqrt(v) / sqrt(1 - beta2^step) + eps. Beside an eps of at least this the root of
#: a v below the smallest normal number, 1.1e-19, vanishes, even times 32 in the first step.
LEAST_EPS = 1e-9
_SMALLEST = sys.float_info.min


class BareKernels:
    """What an optimizer's `step` does to weights from its second step on, to the bit."""

    def __init__(
        self,
        optimizer: Optimizer,
        kernels: list[_Of],
        keeping: list[_Of],
    ) -> None:
        """`keeping` are kernels that do not take tiny numbers as zero."""
        self.optimizer, self._kernels = optimizer, [*kernels, *keeping]
        self._with_zeros = len(kernels)
        #: What the kernels work on; loading a state gives an optimizer others.
        self._groups, self._state = optimizer.param_groups, optimizer.state
        self._counts = [state["step"] for state in optimizer.state.values() if "step" in state]

    @torch.no_grad()
    def step(self) -> bool:
        """Whether it was done: it has to be torch's step where a gradient or the state is gone."""
        optimizer = self.optimizer
        if optimizer.state is not self._state or optimizer.param_groups is not self._groups:
            return False
        ready = []
        for parameters, kernel in self._kernels:
            grads = [p.grad for p in parameters if p.grad is not None]
            if len(grads) < len(parameters):
                return False
            ready.append((kernel, grads))
        if self._counts:
            torch._foreach_add_(self._counts, 1)
        for kernel, grads in ready[self._with_zeros :]:
            kernel(grads)
        # Python's own floats say whether this thread does so anyway, which is then left as it is.
        changes = _SMALLEST / 2 > 0 and torch.set_flush_denormal(True)
        try:
            for kernel, grads in ready[: self._with_zeros]:
                kernel(grads)
        finally:
            if changes:
                torch.set_flush_denormal(False)
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
    kernels, keeping = list[_Of](), list[_Of]()
    for group in optimizer.param_groups:
        parameters: list[nn.Parameter] = group["params"]
        if not parameters:
            continue
        if any(p.grad is None or p.grad.is_sparse for p in parameters) or not _alike(parameters):
            return None
        kernel = make(group, [optimizer.state[p] for p in parameters])
        takes_as_zero = group.get("eps", LEAST_EPS) >= LEAST_EPS
        (kernels if takes_as_zero else keeping).append((parameters, kernel))
    return BareKernels(optimizer, kernels, keeping)


def _is_simple(group: ParamGroup) -> bool:
    """Whether the kernel is called once, with plain numbers."""
    plain = bool(group["fused"]) and isinstance(group["lr"], float)
    return plain and not group.get("differentiable") and not group.get("capturable")


def _alike(parameters: list[nn.Parameter]) -> bool:
    """Whether one call takes them all."""
    return len({(p.dtype, p.device) for p in parameters}) == 1


def _sgd(group: ParamGroup, states: list[State]) -> Kernel:
    values: list[Tensor] = group["params"]
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


def _adam(group: ParamGroup, states: list[State]) -> Kernel:
    fused = torch._fused_adamw_ if group["decoupled_weight_decay"] else torch._fused_adam_
    values: list[Tensor] = group["params"]
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
