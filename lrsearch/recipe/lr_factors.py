"""The learning rate of a step as a factor of its peak, for pictures: without torch.

Trials are trained by the real torch schedulers of `build_scheduler`, and a test holds these equal
to them. To load torch for a picture takes 1.2 s of CPU, a quarter of what a report takes.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from lrsearch.catalog.schedules import SCHEDULES, WARMUP_START_FACTOR
from lrsearch.errors import TaskError
from lrsearch.plain_data import Fields
from lrsearch.recipe import schedule_shapes
from lrsearch.recipe.warmup import warmup_length
from lrsearch.task.own_code import is_own, loaded
from lrsearch.trial.rounding import ceil

#: From a step, counted from 0 after warm-up, to the factor.
Shape = Callable[..., float]


def _constant(_: int, *, steps: int) -> float:
    return 1.0


def _step(step: int, *, steps: int, step_size: float, gamma: float) -> float:
    cuts: int = step // max(1, round(step_size * steps))
    return float(gamma**cuts)


def _multistep(step: int, *, steps: int, milestones: Sequence[float], gamma: float) -> float:
    cuts = sum(step >= max(1, round(milestone * steps)) for milestone in milestones)
    return float(gamma**cuts)


def _exponential(step: int, *, steps: int, final: float) -> float:
    return float(final ** (step / steps))


def _cosine_restarts(step: int, *, steps: int, T_0: float, T_mult: int, eta_min: float) -> float:
    first = max(1, ceil(T_0 * steps))
    return schedule_shapes.cosine_restarts(step, first=first, growth=int(T_mult), eta_min=eta_min)


def _linear(step: int, *, steps: int, end_factor: float) -> float:
    return 1 + (end_factor - 1) * step / steps


def _polynomial(step: int, *, steps: int, power: float) -> float:
    return float((1 - step / steps) ** power)


def _cyclic(step: int, *, steps: int, base_factor: float, step_size_up: float, mode: str) -> float:
    """Triangles from `base_factor` up to 1; with `triangular2` each is half as high as the last."""
    up = max(1, round(step_size_up * steps))
    cycle, place = divmod(step, 2 * up)
    height = 1 - abs(place / up - 1)
    return base_factor + (1 - base_factor) * height * (0.5**cycle if mode == "triangular2" else 1)


def _one_cycle(
    step: int,
    *,
    steps: int,
    pct_start: float,
    div_factor: float,
    final_div_factor: float,
    cycle_momentum: bool,
) -> float:
    """Half a cosine up to 1 at step `pct_start * steps - 1`, and half a cosine down at the last."""
    while pct_start * steps == 1:  # as `build_scheduler` does
        pct_start = math.nextafter(pct_start, 1)
    top, last = pct_start * steps - 1, steps - 1
    first = 1 / div_factor
    if step <= top:
        return _half_cosine(first, 1.0, step / top)
    return _half_cosine(1.0, first / final_div_factor, (step - top) / (last - top))


def _half_cosine(start: float, end: float, done: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * done)) / 2


SHAPES: Mapping[str, Shape] = {
    "constant": _constant,
    "step": _step,
    "multistep": _multistep,
    "exponential": _exponential,
    "cosine": schedule_shapes.cosine,
    "cosine_restarts": _cosine_restarts,
    "linear": _linear,
    "polynomial": _polynomial,
    "cyclic": _cyclic,
    "one_cycle": _one_cycle,
    "wsd": schedule_shapes.wsd,
    "rex": schedule_shapes.rex,
    "inverse_sqrt": schedule_shapes.inverse_sqrt,
}


def lr_factors(
    schedule: Fields, *, total_steps: int, warmup: float, warmup_steps: int | None = None
) -> Callable[[int], float]:
    """The learning rate of each optimizer step, counted from 0, as a factor of the peak.

    `warmup` is the fraction of `total_steps` that rises linearly first; `warmup_steps`, in its
    place, are so many of them. The schedule is checked, and not one that takes a metric. Raises
    TaskError for one of a file that is not loaded, SpecError as `warmup_length`.
    """
    name = schedule["name"]
    warm = warmup_length(total_steps, warmup, warmup_steps)
    steps = total_steps - warm
    given = {key: value for key, value in schedule.items() if key != "name"}
    if is_own(name):
        shape = _own(name, given)
    else:
        shape = partial(SHAPES[name], **{**SCHEDULES[name].defaults, **given})

    def factor(step: int) -> float:
        if step < warm:
            return WARMUP_START_FACTOR + (1 - WARMUP_START_FACTOR) * step / warm
        return shape(step - warm, steps=steps)

    return factor


def _own(name: str, fields: Fields) -> Shape:
    function = loaded(name)
    if function is None:
        raise TaskError(f"{name} is not loaded; its file is not beside the study's")
    given = {key: tuple(v) if isinstance(v, list) else v for key, v in fields.items()}
    return partial(schedule_shapes.own, shape=partial(function, **given))
