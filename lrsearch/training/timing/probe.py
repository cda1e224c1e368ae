"""Whether a model can be trained in a cohort, and whether that is right: two trials, two steps.

vmap refuses some models (a few of them in one precision only), runs others slowly, and gets a few
silently wrong (a buffer that is replaced in place of being written into loses its update). So two
models take two steps by themselves and as a cohort, and everything is compared: losses, gradients,
buffers, outputs in evaluation.
"""

import copy
import re
import warnings
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils._pytree import PyTree, tree_leaves, tree_map

from lrsearch.errors import describe
from lrsearch.recipe.recipe import Recipe
from lrsearch.task.task import Task
from lrsearch.training.batch_loss import forward_pass, training_loss
from lrsearch.training.data import Batch, Data
from lrsearch.training.flat_weights import FlatWeights, Layout, others
from lrsearch.training.fused.stacked import Part, Stacked
from lrsearch.training.model import hooked, make_model
from lrsearch.training.precision import autocast
from lrsearch.training.randomness import (
    drew,
    other_random_state,
    random_state,
    seed_model,
    set_other_random_state,
    set_random_state,
)

#: Largest difference, relative to the largest number compared, that is still rounding: in float64
#: 1e-16 to 1e-12 was measured for models with batch normalisation, where float32 has 1e-7 to 1e-4.
TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-3}

#: What every module has: its own parameters, buffers, modules and hooks. `training` is no news.
_OF_ALL_MODULES = frozenset(vars(nn.Module()))
_SLOW = re.compile(r"batching rule for (\S+?)\.?(?:\s|$)")

#: What is compared of an attribute.
Leaf = int | float | str | Tensor
#: The second step sees what a model kept of the first outside of its buffers.
STEPS = 2


@dataclass(frozen=True, kw_only=True)
class Probe:
    """What a cohort of two gave."""

    fits: bool
    #: Why not, on one line.
    reason: str | None = None
    #: Operations that run trial by trial inside a cohort.
    slow_ops: tuple[str, ...] = ()
    #: Whether the model draws random numbers, so that a cohort has to go in lock-step.
    random: bool = False
    #: Largest relative difference from the trials by themselves.
    error: float = 0.0


#: What is compared, and the usual cause of a difference.
_COMPARED = dict.fromkeys(
    ("losses", "gradients", "buffers", "outputs"),
    "does the model replace a buffer in place of writing into it?",
) | {"gradients": "torch.func.vmap leaves out the padding_idx of an Embedding, for one"}


class _Unfit(Exception):  # noqa: N818 - no error: the model trains alone
    """The model cannot be trained in a cohort; the message says why."""


def probe(task: Task, recipe: Recipe, splits: tuple[Data, Data], device: torch.device) -> Probe:
    """Step two models alone and together, in float64 where model and device can.

    Leaves random states as they were. Raises TaskError where even one model alone fails.
    """
    before, others = random_state(device), other_random_state()
    try:
        return _probe(task, recipe, splits, device)
    except _Unfit as unfit:
        return Probe(fits=False, reason=str(unfit))
    finally:
        set_random_state(before, device)
        set_other_random_state(others)


def _probe(task: Task, recipe: Recipe, splits: tuple[Data, Data], device: torch.device) -> Probe:
    seed_model(recipe.seed)
    models = [make_model(task, device) for _ in range(2)]
    if task.carry is not None:
        raise _Unfit("the task carries a state from batch to batch")
    _suits(models[0])
    batches = [next(splits[0].train(recipe.seed + i, 0, 0)) for i in range(2)]
    draws = drew(lambda: _keeps_no_account(task, models[0], batches, device), device)
    state = random_state(device)
    dtype = torch.float32 if device.type == "mps" else torch.float64
    try:
        pair = _Pair(task, models, batches, dtype)
        alone = pair.alone(state, device)
    except Exception:  # a model that is written for float32
        pair = _Pair(task, models, batches, torch.float32)
        alone = pair.alone(state, device)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        set_random_state(state, device)
        together = pair.together(draws=draws)
    errors = dict(zip(_COMPARED, map(_difference, alone, together), strict=True))
    error = max(errors.values())
    if not error <= TOLERANCE[pair.dtype]:
        part = max(errors, key=errors.__getitem__)
        raise _Unfit(
            f"a cohort of two differs by {error:.1g} from the same trials alone, in their {part}; "
            f"{_COMPARED[part]}"
        )
    if recipe.precision != "fp32":
        set_random_state(state, device)
        _Pair(task, models, batches, torch.float32).together(
            draws=draws, autocast=autocast(recipe.precision, device)
        )
    found = (_SLOW.search(str(warning.message)) for warning in caught)
    slow = sorted({match[1] for match in found if match})
    return Probe(fits=True, slow_ops=tuple(slow), random=draws, error=error)


def _suits(model: nn.Module) -> None:
    """Raises _Unfit for what can be seen without a step."""
    if Layout.of(model) is None:
        raise _Unfit("the model's parameters are of several types or layouts, or share memory")
    for name, value in others(model).items():
        if value.layout is not torch.strided:
            raise _Unfit(f"{name} is a sparse tensor, which a cohort cannot stack")
    if own := hooked(model):
        raise _Unfit(f"parameter {own} has a hook, which a cohort would not call")


def _keeps_no_account(
    task: Task, model: nn.Module, batches: Sequence[Batch], device: torch.device
) -> None:
    """Run a copy of the model; raises _Unfit if it carries something over beside its buffers."""
    try:
        model = copy.deepcopy(model).train()
    except Exception as error:
        raise _Unfit(f"the model cannot be copied: {_short(error)}") from error
    state, untouched = random_state(device), other_random_state()
    accounts = [_account(model)]
    # An activation that is kept to be looked at is the same after the same batch.
    for i in (0, 1, 0):
        set_random_state(state, device)
        forward_pass(task, model, batches[i])
        accounts.append(_account(model))
    if not torch.equal(other_random_state(), untouched):
        raise _Unfit("the model draws from random or numpy.random, which trials would share")
    before, first, _, last = accounts
    changed = [name for name in last if not _equal(last[name], first.get(name))]
    changed += [name for name in first if not _equal(first[name], before.get(name))]
    if changed:
        raise _Unfit(f"the model changes its attribute {changed[0]}, which trials would share")


def _account(model: nn.Module) -> dict[str, list[Leaf]]:
    """Copies of the numbers, words and tensors in each attribute of a module, by dotted name."""
    return {
        f"{name}.{key}".removeprefix("."): [
            leaf.detach().clone() if isinstance(leaf, Tensor) else leaf
            for leaf in tree_leaves(value)
            if isinstance(leaf, int | float | str | Tensor)
        ]
        for name, module in model.named_modules()
        for key, value in vars(module).items()
        if key not in _OF_ALL_MODULES
    }


def _equal(some: list[Leaf], others: list[Leaf] | None) -> bool:
    """Whether nothing has changed; tensors may come where there was nothing."""
    if not others:
        return all(isinstance(value, Tensor) for value in some)

    def alike(a: Leaf, b: Leaf) -> bool:
        if isinstance(a, Tensor) and isinstance(b, Tensor):
            return torch.equal(a, b)
        return type(a) is type(b) and bool(a == b)

    return len(some) == len(others) and all(map(alike, some, others))


class _Pair:
    """Two models and a batch of each."""

    def __init__(
        self, task: Task, models: Sequence[nn.Module], batches: Sequence[Batch], dtype: torch.dtype
    ) -> None:
        self.task, self.dtype = task, dtype
        self.models = [_converted(model, dtype) for model in models]
        self.batches = [_as(batch, dtype) for batch in batches]

    def alone(self, state: list[Tensor], device: torch.device) -> list[list[Tensor]]:
        """Losses, gradients, other numbers, outputs in evaluation, of one after the other."""
        results = [self._one(i, state, device) for i in range(2)]
        return [
            [torch.stack(list(pair)) for pair in zip(*kinds, strict=True)]
            for kinds in zip(*results, strict=True)
        ]

    def _one(self, i: int, state: list[Tensor], device: torch.device) -> list[list[Tensor]]:
        model = copy.deepcopy(self.models[i]).train()
        batch = self.batches[i]
        trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
        set_random_state(state, device)
        losses = []
        for _ in range(STEPS):
            model.zero_grad()
            loss, _ = training_loss(self.task, model, batch)
            loss.backward()  # type: ignore[no-untyped-call]
            losses.append(loss.detach())
            for name, p in trained.items():
                if p.grad is None:
                    raise _Unfit(f"the loss does not depend on parameter {name}")
        grads = [p.grad for p in trained.values() if p.grad is not None]
        if others(model).keys() != others(self.models[i]).keys():
            raise _Unfit("the model makes a buffer while it runs")
        buffers = [value.clone() for _, value in sorted(others(model).items())]
        if self.task.loss is None:  # validated by its own module
            return [losses, grads, buffers, []]
        model.eval()
        with torch.no_grad():
            outputs = tree_leaves(model(self.batches[0][0]))
        return [losses, grads, buffers, outputs]

    def together(
        self, *, draws: bool, autocast: AbstractContextManager[None] | None = None
    ) -> list[list[Tensor]]:
        """The same of both at once. Raises _Unfit where that cannot be."""
        layout = Layout.of(self.models[0])
        assert layout is not None, "what has one keeps it in another type"
        try:
            flat_weights = FlatWeights(self.models[0], layout, 2)
            for place, model in enumerate(self.models):
                flat_weights.put(place, copy.deepcopy(model))
            stacked = Stacked(self.task, copy.deepcopy(self.models[0]).train(), draws=draws)
            part = Part(flat_weights, slice(0, 2))
            batch = tree_map(_stack, *self.batches)
            losses = [stacked.gradients(part, batch, autocast=autocast) for _ in range(STEPS)]
            buffers = [value.clone() for _, value in sorted(flat_weights.others.items())]
            outputs = []
            if self.task.loss is not None:
                stacked.base.eval()
                with torch.no_grad(), autocast or nullcontext():
                    outputs = tree_leaves(stacked.outputs(part, self.batches[0][0]))
        except Exception as error:
            raise _Unfit(_short(error)) from error
        views = layout.views(flat_weights.grads)
        trained = [name for name, p in self.models[0].named_parameters() if p.requires_grad]
        return [losses, [views[name] for name in trained], buffers, outputs]


def _converted(model: nn.Module, dtype: torch.dtype) -> nn.Module:
    """A copy whose floats are of this type, its complex numbers of two of them."""
    to = {torch.complex64: dtype.to_complex(), torch.complex128: dtype.to_complex()}
    converted: nn.Module = copy.deepcopy(model)._apply(  # type: ignore[no-untyped-call]
        lambda x: x.to(dtype if x.is_floating_point() else to.get(x.dtype, x.dtype))
    )
    return converted


def _stack(*values: PyTree) -> PyTree:
    return torch.stack(values) if isinstance(values[0], Tensor) else values[0]


def _as(batch: PyTree, dtype: torch.dtype) -> PyTree:
    """The batch with its floats of this type."""

    def convert(value: PyTree) -> PyTree:
        is_float = isinstance(value, Tensor) and value.is_floating_point()
        return value.to(dtype) if is_float else value

    return tree_map(convert, batch)


def _difference(alone: Sequence[Tensor], together: Sequence[Tensor]) -> float:
    """The largest difference, relative to the largest number in any of them."""
    pairs = [(_wide(a), _wide(b)) for a, b in zip(alone, together, strict=True) if a.numel()]
    largest = max((float(a.abs().max()) for a, _ in pairs), default=0.0) or 1.0
    return max((float((a - b).abs().max()) for a, b in pairs), default=0.0) / largest


def _wide(x: Tensor) -> Tensor:
    return x.to(torch.complex128 if x.is_complex() else torch.float64)


def _short(error: BaseException) -> str:
    """The first sentence of what vmap says."""
    return re.split(r"(?<=[a-z)])[.;]\s", describe(error), maxsplit=1)[0][:200]
