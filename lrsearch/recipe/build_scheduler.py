"""From a schedule's checked fields to the real torch scheduler over a given number of steps.

Each factory takes the optimizer, the clock, and all fields of its schedule. The lr of a parameter
group is the peak of that group: every schedule keeps the ratios between groups in every step.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

from torch.optim import Optimizer
from torch.optim.lr_scheduler import (
    ConstantLR,
    CosineAnnealingLR,
    CosineAnnealingWarmRestarts,
    CyclicLR,
    ExponentialLR,
    LambdaLR,
    LinearLR,
    LRScheduler,
    MultiStepLR,
    OneCycleLR,
    PolynomialLR,
    SequentialLR,
    StepLR,
)

from lrsearch.catalog.schedules import SCHEDULES, WARMUP_START_FACTOR
from lrsearch.catalog.script import SCRIPT
from lrsearch.errors import TaskError
from lrsearch.plain_data import Document, Fields
from lrsearch.recipe import schedule_shapes
from lrsearch.recipe.plateau import Plateau
from lrsearch.recipe.warmup import warmup_length
from lrsearch.task.own_code import is_own, loaded
from lrsearch.trial.rounding import ceil

CyclicMode = Literal["triangular", "triangular2", "exp_range"]
PlateauMode = Literal["min", "max"]


@dataclass(frozen=True, kw_only=True)
class Horizon:
    """The clock a schedule is built for."""

    #: Optimizer steps after warm-up.
    steps: int
    #: Validations in the whole run (what `plateau` counts its patience in).
    validations: int


def _peaks(optimizer: Optimizer) -> list[float]:
    """The peak of each parameter group."""
    return [float(group["lr"]) for group in optimizer.param_groups]


def _peak(optimizer: Optimizer) -> float | None:
    """The peak of all groups; None where groups have learning rates of their own."""
    if any("lr_scale" in group for group in optimizer.param_groups):
        return None
    return _peaks(optimizer)[0]


def constant(o: Optimizer, h: Horizon) -> LRScheduler:
    return ConstantLR(o, factor=1.0)  # torch's default factor is 1/3


def step(o: Optimizer, h: Horizon, *, step_size: float, gamma: float) -> LRScheduler:
    return StepLR(o, step_size=max(1, round(step_size * h.steps)), gamma=gamma)


def multistep(
    o: Optimizer, h: Horizon, *, milestones: Sequence[float], gamma: float
) -> LRScheduler:
    # At least one step is at the peak, however short the run is.
    return MultiStepLR(o, milestones=[max(1, round(m * h.steps)) for m in milestones], gamma=gamma)


def exponential(o: Optimizer, h: Horizon, *, final: float) -> LRScheduler:
    return ExponentialLR(o, gamma=final ** (1 / h.steps))


def cosine(o: Optimizer, h: Horizon, *, eta_min: float) -> LRScheduler:
    peak = _peak(o)
    if peak is not None or not eta_min:
        # T_max is the last step of the run: beyond it torch's formula would rise again.
        return CosineAnnealingLR(o, T_max=h.steps, eta_min=eta_min * (peak or 0.0))
    # torch's eta_min is one number for all groups.
    return LambdaLR(o, partial(schedule_shapes.cosine, steps=h.steps, eta_min=eta_min))


def linear(o: Optimizer, h: Horizon, *, end_factor: float) -> LRScheduler:
    return LinearLR(o, start_factor=1.0, end_factor=end_factor, total_iters=h.steps)


def plateau(
    o: Optimizer, h: Horizon, *, factor: float, patience: float, metric: str, mode: PlateauMode
) -> LRScheduler:
    return Plateau(
        o,
        factor=factor,
        patience=round(patience * h.validations),
        mode=mode if metric == "objective" else "min",
        # torch leaves out a cut by less than eps, which a group of small lr would miss alone.
        eps=1e-8 if _peak(o) is not None else 0.0,
    )


def cyclic(
    o: Optimizer, h: Horizon, *, base_factor: float, step_size_up: float, mode: CyclicMode
) -> LRScheduler:
    # cycle_momentum's default would overwrite the recipe's momentum at construction.
    return CyclicLR(
        o,
        base_lr=[base_factor * peak for peak in _peaks(o)],
        max_lr=_peaks(o),
        step_size_up=max(1, round(step_size_up * h.steps)),
        mode=mode,
        cycle_momentum=False,
    )


def one_cycle(
    o: Optimizer,
    h: Horizon,
    *,
    pct_start: float,
    cycle_momentum: bool,
    div_factor: float,
    final_div_factor: float,
) -> LRScheduler:
    while pct_start * h.steps == 1:  # once is not always enough: 1/3 of 3 steps rounds to 1 again
        pct_start = math.nextafter(pct_start, 1)  # torch divides by pct_start * total_steps - 1
    arguments: Document = {"cycle_momentum": False}
    if cycle_momentum:
        # A group's momentum is its largest, as its lr is; torch's .85 to .95 if it has none.
        tops = [_momentum(group) for group in o.param_groups]
        lowest = [max(0.0, top - 0.1) for top in tops]
        arguments = {"max_momentum": tops, "base_momentum": lowest}
    return OneCycleLR(
        o,
        max_lr=_peaks(o),
        total_steps=h.steps,
        pct_start=pct_start,
        div_factor=div_factor,
        final_div_factor=final_div_factor,
        **arguments,
    )


def _momentum(group: Fields) -> float:
    """The share of the first moment that a group keeps; that of torch's OneCycleLR for none."""
    return float(group["betas"][0] if "betas" in group else (group["momentum"] or 0.95))


def cosine_restarts(
    o: Optimizer, h: Horizon, *, T_0: float, eta_min: float, T_mult: int
) -> LRScheduler:
    # Rounded up: rounded down, a last cycle of a few steps would end the run at the peak.
    first = max(1, ceil(T_0 * h.steps))
    peak = _peak(o)
    if peak is not None or not eta_min:
        lowest = eta_min * (peak or 0.0)
        return CosineAnnealingWarmRestarts(o, T_0=first, T_mult=int(T_mult), eta_min=lowest)
    shape = partial(
        schedule_shapes.cosine_restarts, first=first, growth=int(T_mult), eta_min=eta_min
    )
    return LambdaLR(o, shape)


def polynomial(o: Optimizer, h: Horizon, *, power: float) -> LRScheduler:
    return PolynomialLR(o, total_iters=h.steps, power=power)


def wsd(o: Optimizer, h: Horizon, *, decay: float, shape: str) -> LRScheduler:
    return LambdaLR(o, partial(schedule_shapes.wsd, steps=h.steps, decay=decay, shape=shape))


def rex(o: Optimizer, h: Horizon, *, beta: float) -> LRScheduler:
    return LambdaLR(o, partial(schedule_shapes.rex, steps=h.steps, beta=beta))


def inverse_sqrt(o: Optimizer, h: Horizon, *, timescale: float) -> LRScheduler:
    return LambdaLR(o, partial(schedule_shapes.inverse_sqrt, steps=h.steps, timescale=timescale))


def own(o: Optimizer, h: Horizon, *, name: str, fields: Fields) -> LRScheduler:
    """A function of progress from a file of the study's own. Raises TaskError if not loaded."""
    shape = loaded(name)
    if shape is None:
        raise TaskError(f"{name} is not loaded; its file is not beside the study's")
    given = {key: tuple(v) if isinstance(v, list) else v for key, v in fields.items()}
    return LambdaLR(o, partial(schedule_shapes.own, shape=partial(shape, **given), steps=h.steps))


FACTORIES: Mapping[str, Callable[..., LRScheduler]] = {
    "constant": constant,
    "step": step,
    "multistep": multistep,
    "exponential": exponential,
    "cosine": cosine,
    "cosine_restarts": cosine_restarts,
    "linear": linear,
    "polynomial": polynomial,
    "plateau": plateau,
    "cyclic": cyclic,
    "one_cycle": one_cycle,
    "wsd": wsd,
    "rex": rex,
    "inverse_sqrt": inverse_sqrt,
}


def build_schedule(
    optimizer: Optimizer,
    schedule: Fields,
    *,
    total_steps: int,
    warmup: float,
    warmup_steps: int | None = None,
    validations: int,
) -> LRScheduler:
    """The real torch scheduler for a checked schedule over `total_steps` optimizer steps.

    `warmup` is the fraction of `total_steps` that LinearLR takes first, joined by SequentialLR;
    `warmup_steps`, in its place, are so many of them. Raises TaskError for `script`, and for a
    schedule of a file that is not loaded, SpecError for `warmup_steps` that are all of them.
    """
    name = schedule["name"]
    if name == SCRIPT:
        raise TaskError("the schedule is the script's own; run the script with these values")
    given = {key: value for key, value in schedule.items() if key != "name"}
    make = (
        partial(own, name=name, fields=given)
        if is_own(name)
        else partial(FACTORIES[name], **{**SCHEDULES[name].defaults, **given})
    )
    first = warmup_length(total_steps, warmup, warmup_steps)
    horizon = Horizon(steps=total_steps - first, validations=validations)
    if not first:
        return make(optimizer, horizon)
    warm = LinearLR(optimizer, start_factor=WARMUP_START_FACTOR, total_iters=first)
    for group in optimizer.param_groups:
        group["lr"] = group["initial_lr"]  # LinearLR has already scaled lr; the peak is wanted next
    main = make(optimizer, horizon)
    return SequentialLR(optimizer, [warm, main], milestones=[first])
