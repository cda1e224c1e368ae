"""What an update needs of a step beside weights, gradients and state: numbers that no data change.

They are computed on the host in float64, as torch.optim computes them, from the parameter groups of
a trial's real optimizer, whose real scheduler is stepped ahead. `t` counts steps from 1.
"""

import ctypes
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace

import torch

#: A parameter group's hyperparameters at one step, by torch's names.
Hyper = SimpleNamespace
#: The columns of one step, in the order of a rule.
Columns = tuple[float, ...]


@dataclass(kw_only=True)
class Memory:
    """What an optimizer carries from step to step in single numbers, of one parameter group.

    Each is kept in `dtype`, the default one, as torch keeps it.
    """

    dtype: torch.dtype
    #: NAdam's product of momenta; ASGD's rate and weight of the average, for the next step.
    numbers: dict[str, float] = field(default_factory=dict)
    #: Whether SGD has a momentum buffer.
    started: bool = False

    def kept(self, name: str, value: float) -> float:
        """Keep a number, rounded as a tensor of the default dtype rounds it."""
        rounded = value if self.dtype is torch.float64 else ctypes.c_float(value).value
        self.numbers[name] = rounded
        return rounded

    def copy(self) -> "Memory":
        return Memory(dtype=self.dtype, numbers=dict(self.numbers), started=self.started)


#: Columns for a group at step t.
Coefficients = Callable[[Hyper, int, Memory], Columns]


def sgd(h: Hyper, t: int, memory: Memory) -> Columns:
    """l2, buffer's own share, the gradient's in it, the gradient's and buffer's in the step, lr."""
    if h.momentum == 0:
        return h.weight_decay, 1.0, 0.0, 1.0, 0.0, -h.lr
    kept, taken = (h.momentum, 1 - h.dampening) if memory.started else (0.0, 1.0)
    memory.started = True
    ahead = (1.0, h.momentum) if h.nesterov else (0.0, 1.0)
    return h.weight_decay, kept, taken, *ahead, -h.lr


def _decays(h: Hyper, *, decoupled: bool) -> tuple[float, float]:
    """What is added to the gradient for each weight, and what the weights are multiplied by."""
    return (0.0, 1 - h.lr * h.weight_decay) if decoupled else (h.weight_decay, 1.0)


def adam(h: Hyper, t: int, memory: Memory) -> Columns:
    """l2, keep, 1 - beta1, beta2, 1 - beta2, root of the second correction, eps, step, amsgrad."""
    beta1, beta2 = h.betas
    size = h.lr / (1 - beta1**t)
    root = (1 - beta2**t) ** 0.5
    decays = _decays(h, decoupled=h.decoupled_weight_decay)
    return *decays, 1 - beta1, beta2, 1 - beta2, root, h.eps, -size, float(h.amsgrad)


def nadam(h: Hyper, t: int, memory: Memory) -> Columns:
    """As adam's up to the second correction and eps; then the gradient's and the mean's step."""
    beta1, beta2 = h.betas
    mu = beta1 * (1.0 - 0.5 * (0.96 ** (t * h.momentum_decay)))
    mu_next = beta1 * (1.0 - 0.5 * (0.96 ** ((t + 1) * h.momentum_decay)))
    last = memory.numbers.get("mu_product", 1.0)
    factor = mu if memory.dtype is torch.float64 else ctypes.c_float(mu).value
    product = memory.kept("mu_product", last * factor)
    steps = -h.lr * (1.0 - mu) / (1.0 - product), -h.lr * mu_next / (1.0 - product * mu_next)
    decays = _decays(h, decoupled=h.decoupled_weight_decay)
    return *decays, 1 - beta1, beta2, 1 - beta2, 1 - beta2**t, h.eps, *steps


def radam(h: Hyper, t: int, memory: Memory) -> Columns:
    """As adam's up to 1 - beta2; eps; the step divided by the second moment, and the plain one."""
    beta1, beta2 = h.betas
    correction1, correction2 = 1 - beta1**t, 1 - beta2**t
    longest = 2 / (1 - beta2) - 1
    length = longest - 2 * t * (beta2**t) / correction2
    plain, adaptive = -h.lr / correction1, 0.0
    if length > 5.0:
        above = (length - 4) * (length - 2) * longest
        below = (longest - 4) * (longest - 2) * length
        adaptive, plain = plain * correction2**0.5 * (above / below) ** 0.5, 0.0
    decays = _decays(h, decoupled=h.decoupled_weight_decay)
    return *decays, 1 - beta1, beta2, 1 - beta2, h.eps, adaptive, plain


def rmsprop(h: Hyper, t: int, memory: Memory) -> Columns:
    """l2, alpha, 1 - alpha, share of the gradient in its mean, whether centered, eps, momentum."""
    centered = (1 - h.alpha, 1.0) if h.centered else (0.0, 0.0)
    return h.weight_decay, h.alpha, 1 - h.alpha, *centered, h.eps, h.momentum, -h.lr


def adagrad(h: Hyper, t: int, memory: Memory) -> Columns:
    """l2, eps, step."""
    return h.weight_decay, h.eps, -h.lr / (1 + (t - 1) * h.lr_decay)


def adamax(h: Hyper, t: int, memory: Memory) -> Columns:
    """l2, 1 - beta1, beta2, eps, step."""
    beta1, beta2 = h.betas
    return h.weight_decay, 1 - beta1, beta2, h.eps, -h.lr / (1 - beta1**t)


def adadelta(h: Hyper, t: int, memory: Memory) -> Columns:
    """l2, rho, 1 - rho, eps, step."""
    return h.weight_decay, h.rho, 1 - h.rho, h.eps, -h.lr


def asgd(h: Hyper, t: int, memory: Memory) -> Columns:
    """l2, what the weights are multiplied by, step, weight of the newest in the average."""
    eta = memory.numbers["eta"] if "eta" in memory.numbers else memory.kept("eta", h.lr)
    mu = memory.numbers.get("mu", 1.0)
    memory.kept("eta", h.lr / ((1 + h.lambd * h.lr * t) ** h.alpha))
    memory.kept("mu", 1 / max(1, t - h.t0))
    return h.weight_decay, 1 - h.lambd * eta, -eta, mu


def rprop(h: Hyper, t: int, memory: Memory) -> Columns:
    """Factors of a step that turns and of one that goes on, shortest and longest step."""
    return *h.etas, *h.step_sizes
