"""Updates of many trials' rows by one optimizer class, each row with its own hyperparameters.

The formulas are those of torch.optim's `_single_tensor_*` functions; what they compute from
hyperparameters and the step alone comes in columns [k, 1] (see `coefficients`). Every operation is
elementwise over [k, p], so their number does not depend on how many rows there are.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.optim import (
    ASGD,
    SGD,
    Adadelta,
    Adagrad,
    Adam,
    Adamax,
    AdamW,
    NAdam,
    Optimizer,
    RAdam,
    RMSprop,
    Rprop,
)

from lrsearch.training.graphed import coefficients
from lrsearch.training.graphed.coefficients import Coefficients, Hyper

#: Changes weights in place: weights, gradients, what a rule keeps of each, [k, p]; columns [k, 1].
Update = Callable[[Tensor, Tensor, Sequence[Tensor], Sequence[Tensor]], None]


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One class of torch.optim, or two that differ by a column."""

    name: str
    update: Update
    coefficients: Coefficients
    #: How many columns it reads.
    columns: int
    #: What torch calls the tensors that it keeps of each weight.
    kept: tuple[str, ...]
    #: What torch calls the single numbers that it keeps, beside the count of steps.
    numbers: tuple[str, ...] = ()
    #: Whether torch keeps a count of steps.
    counts: bool = True

    def keeps(self, name: str, hyper: Hyper, *, started: bool) -> bool:
        """Whether torch keeps a tensor of this name where a group has these hyperparameters."""
        needs = {"max_exp_avg_sq": "amsgrad", "grad_avg": "centered"}
        if name == "momentum_buffer":
            return started if self.name == "sgd" else bool(hyper.momentum > 0)
        return name not in needs or bool(getattr(hyper, needs[name]))

    def initial(self, name: str, hyper: Hyper) -> float:
        """What a kept tensor is filled with before the first step."""
        return float(hyper.lr) if name == "step_size" else 0.0


def _sgd(w: Tensor, g: Tensor, kept: Sequence[Tensor], c: Sequence[Tensor]) -> None:
    l2, own, taken, of_gradient, of_buffer, step = c
    g = torch.addcmul(g, w, l2)
    buffer = kept[0].mul_(own).addcmul_(g, taken)
    w.addcmul_((g * of_gradient).addcmul_(buffer, of_buffer), step)


def _moments(g: Tensor, kept: Sequence[Tensor], c: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """The first and second moment with this gradient in them."""
    first, beta2, second = c
    mean = kept[0].lerp_(g, first)
    return mean, kept[1].mul_(beta2).addcmul_(g * second, g)


def _decayed(w: Tensor, g: Tensor, c: Sequence[Tensor]) -> Tensor:
    """The gradient with weight decay in it; decoupled decay is in the weights."""
    l2, keep = c
    g = torch.addcmul(g, w, l2)
    w.mul_(keep)
    return g


def _adam(w: Tensor, g: Tensor, kept: Sequence[Tensor], c: Sequence[Tensor]) -> None:
    root, eps, step, amsgrad = c[5:]
    mean, square = _moments(_decayed(w, g, c[:2]), kept, c[2:5])
    if len(kept) > 2:
        most = torch.maximum(kept[2], square, out=kept[2])
        square = torch.where(amsgrad > 0, most, square)
    w.addcdiv_(mean * step, square.sqrt().div_(root).add_(eps))


def _nadam(w: Tensor, g: Tensor, kept: Sequence[Tensor], c: Sequence[Tensor]) -> None:
    correction, eps, of_gradient, of_mean = c[5:]
    g = _decayed(w, g, c[:2])
    mean, square = _moments(g, kept, c[2:5])
    below = square.div(correction).sqrt_().add_(eps)
    w.addcdiv_(g * of_gradient, below).addcdiv_(mean * of_mean, below)


def _radam(w: Tensor, g: Tensor, kept: Sequence[Tensor], c: Sequence[Tensor]) -> None:
    eps, adaptive, plain = c[5:]
    mean, square = _moments(_decayed(w, g, c[:2]), kept, c[2:5])
    w.addcmul_(mean, (adaptive / square.sqrt().add_(eps)).add_(plain))


def _rmsprop(w: Tensor, g: Tensor, kept: Sequence[Tensor], c: Sequence[Tensor]) -> None:
    l2, alpha, rest, of_mean, centered, eps, momentum, step = c
    g = torch.addcmul(g, w, l2)
    square = kept[0].mul_(alpha).addcmul_(g * rest, g)
    mean = kept[2].lerp_(g, of_mean)
    below = torch.addcmul(square, mean * mean, -centered).sqrt_().add_(eps)
    w.addcmul_(kept[1].mul_(momentum).addcdiv_(g, below), step)


def _adagrad(w: Tensor, g: Tensor, kept: Sequence[Tensor], c: Sequence[Tensor]) -> None:
    l2, eps, step = c
    g = torch.addcmul(g, w, l2)
    w.addcdiv_(g * step, kept[0].addcmul_(g, g).sqrt().add_(eps))


def _adamax(w: Tensor, g: Tensor, kept: Sequence[Tensor], c: Sequence[Tensor]) -> None:
    l2, first, beta2, eps, step = c
    g = torch.addcmul(g, w, l2)
    mean = kept[0].lerp_(g, first)
    largest = torch.maximum(kept[1].mul_(beta2), g.abs().add_(eps), out=kept[1])
    w.addcdiv_(mean * step, largest)


def _adadelta(w: Tensor, g: Tensor, kept: Sequence[Tensor], c: Sequence[Tensor]) -> None:
    l2, rho, rest, eps, step = c
    g = torch.addcmul(g, w, l2)
    below = kept[0].mul_(rho).addcmul_(g * rest, g).add(eps).sqrt_()
    delta = kept[1].add(eps).sqrt_().div_(below).mul_(g)
    kept[1].mul_(rho).addcmul_(delta * rest, delta)
    w.addcmul_(delta, step)


def _asgd(w: Tensor, g: Tensor, kept: Sequence[Tensor], c: Sequence[Tensor]) -> None:
    l2, keep, step, newest = c
    g = torch.addcmul(g, w, l2)
    w.mul_(keep).addcmul_(g, step)
    kept[0].lerp_(w, newest)


def _rprop(w: Tensor, g: Tensor, kept: Sequence[Tensor], c: Sequence[Tensor]) -> None:
    shorter, longer, shortest, longest = c
    previous, size = kept
    sign = torch.sign(g * previous)
    factor = torch.where(sign > 0, longer, torch.where(sign < 0, shorter, 1.0))
    torch.clamp(size.mul_(factor), shortest, longest, out=size)
    previous.copy_(torch.where(sign < 0, 0.0, g))
    w.addcmul_(previous.sign(), size, value=-1)


_MOMENTS = ("exp_avg", "exp_avg_sq")
_ADAM = Rule(name="adam", update=_adam, coefficients=coefficients.adam, columns=9, kept=_MOMENTS)
_AMSGRAD = Rule(
    name="amsgrad",
    update=_adam,
    coefficients=coefficients.adam,
    columns=9,
    kept=(*_MOMENTS, "max_exp_avg_sq"),
)
#: By the class itself: one derived from it may do something else.
_RULES: Mapping[type[Optimizer], Rule] = {
    SGD: Rule(
        name="sgd",
        update=_sgd,
        coefficients=coefficients.sgd,
        columns=6,
        kept=("momentum_buffer",),
        counts=False,
    ),
    Adam: _ADAM,
    AdamW: _ADAM,
    NAdam: Rule(
        name="nadam",
        update=_nadam,
        coefficients=coefficients.nadam,
        columns=9,
        kept=_MOMENTS,
        numbers=("mu_product",),
    ),
    RAdam: Rule(
        name="radam", update=_radam, coefficients=coefficients.radam, columns=8, kept=_MOMENTS
    ),
    RMSprop: Rule(
        name="rmsprop",
        update=_rmsprop,
        coefficients=coefficients.rmsprop,
        columns=8,
        kept=("square_avg", "momentum_buffer", "grad_avg"),
    ),
    Adagrad: Rule(
        name="adagrad",
        update=_adagrad,
        coefficients=coefficients.adagrad,
        columns=3,
        kept=("sum",),
    ),
    Adamax: Rule(
        name="adamax",
        update=_adamax,
        coefficients=coefficients.adamax,
        columns=5,
        kept=("exp_avg", "exp_inf"),
    ),
    Adadelta: Rule(
        name="adadelta",
        update=_adadelta,
        coefficients=coefficients.adadelta,
        columns=5,
        kept=("square_avg", "acc_delta"),
    ),
    ASGD: Rule(
        name="asgd",
        update=_asgd,
        coefficients=coefficients.asgd,
        columns=4,
        kept=("ax",),
        numbers=("eta", "mu"),
    ),
    Rprop: Rule(
        name="rprop",
        update=_rprop,
        coefficients=coefficients.rprop,
        columns=4,
        kept=("prev", "step_size"),
    ),
}
#: Columns of the widest rule, and how many tensors the one that keeps most keeps of each weight.
MOST_COLUMNS = max(rule.columns for rule in _RULES.values())
MOST_KEPT = max(len(rule.kept) for rule in (*_RULES.values(), _AMSGRAD))
#: Names of a recipe's optimizers that have a rule.
NAMES = frozenset(each.__name__.lower() for each in _RULES)


def rule_of(optimizer: Optimizer) -> Rule:
    """The rule of an optimizer that has one."""
    rule = _RULES[type(optimizer)]
    amsgrad = rule is _ADAM and any(Hyper(**group).amsgrad for group in optimizer.param_groups)
    return _AMSGRAD if amsgrad else rule
