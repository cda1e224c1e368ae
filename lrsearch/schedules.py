"""SCHEDULES: for each name a factory of a real torch scheduler, its fields, ranges and legality.

Fractions are of the steps after warm-up, factors are of lr, and lr is the peak of every schedule.
`scheduler.step()` is called once after every optimizer step, for all of them. A new schedule is
one entry. Sources of the ranges, by key:
[AP] AlgoPerf (Dahl et al. 2023). [TP] Deep Learning Tuning Playbook (Godbole et al. 2023).
[1C] fastai / torch defaults of the 1cycle policy (Smith & Topin 2018). [LR] lrsearch's own 2,450
recorded runs, which drew from these ranges. [K] convention, no source.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lrsearch.errors import SpecError, near_miss
from lrsearch.optimizers import FLAG, OPTIMIZERS, POSITIVE, Limit
from lrsearch.ranges import Choice, Domain, Fixed, Range, is_number

if TYPE_CHECKING:
    import torch
    from torch.optim.lr_scheduler import LRScheduler

#: Warm-up starts here instead of at 0, which torch's LinearLR refuses.
WARMUP_START_FACTOR = 1e-8


@dataclass(frozen=True, kw_only=True)
class Horizon:
    """The clock a schedule is built for."""

    #: Optimizer steps after warm-up.
    steps: int
    #: Validations in the whole run (what `plateau` counts its patience in).
    validations: int


@dataclass(frozen=True, kw_only=True)
class Fractions:
    """A strictly rising list of fractions of the horizon, all inside (0, 1)."""

    def check(self, value: object, where: str) -> None:
        if not isinstance(value, list | tuple) or not value:
            raise SpecError(f"{where} = {value!r}, but a list of fractions is needed")
        inside = all(is_number(item) and 0 < item < 1 for item in value)
        if not inside or list(value) != sorted(set(value)):
            raise SpecError(f"{where} = {list(value)!r}, but rising fractions in (0, 1) are needed")


@dataclass(frozen=True, kw_only=True)
class Word:
    words: tuple[str, ...]

    def check(self, value: object, where: str) -> None:
        if value not in self.words:
            raise SpecError(f"{where} = {value!r}{near_miss(value, self.words)}")


FACTOR = Limit(high=1.0, high_open=False)
OPEN_FACTOR = Limit(high=1.0, low_open=True, high_open=True)
FRACTION = Limit(high=1.0, low_open=True, high_open=False)

Build = Callable[["torch.optim.Optimizer", Mapping[str, Any], Horizon], "LRScheduler"]


@dataclass(frozen=True, kw_only=True)
class ScheduleInfo:
    build: Build
    fields: Mapping[str, Limit | Fractions | Word]
    #: What a recipe has when it does not say.
    defaults: Mapping[str, Any]
    #: What `{}` searches.
    ranges: Mapping[str, Domain]
    #: Whether linear warm-up may come before it.
    warmup: bool = True
    #: The flag field that makes it drive the optimizer's momentum, if it has one.
    momentum_flag: str | None = None


def _peak(optimizer: "torch.optim.Optimizer") -> float:
    return float(optimizer.param_groups[0]["lr"])


def _constant(o: "torch.optim.Optimizer", f: Mapping[str, Any], h: Horizon) -> "LRScheduler":
    from torch.optim.lr_scheduler import ConstantLR

    return ConstantLR(o, factor=1.0)  # torch's default factor is 1/3


def _step(o: "torch.optim.Optimizer", f: Mapping[str, Any], h: Horizon) -> "LRScheduler":
    from torch.optim.lr_scheduler import StepLR

    return StepLR(o, step_size=max(1, round(f["step_size"] * h.steps)), gamma=f["gamma"])


def _multistep(o: "torch.optim.Optimizer", f: Mapping[str, Any], h: Horizon) -> "LRScheduler":
    from torch.optim.lr_scheduler import MultiStepLR

    return MultiStepLR(
        o, milestones=[round(m * h.steps) for m in f["milestones"]], gamma=f["gamma"]
    )


def _exponential(o: "torch.optim.Optimizer", f: Mapping[str, Any], h: Horizon) -> "LRScheduler":
    from torch.optim.lr_scheduler import ExponentialLR

    return ExponentialLR(o, gamma=f["final"] ** (1 / h.steps))


def _cosine(o: "torch.optim.Optimizer", f: Mapping[str, Any], h: Horizon) -> "LRScheduler":
    from torch.optim.lr_scheduler import CosineAnnealingLR

    # T_max is the last step of the run: beyond it torch's formula would rise again.
    return CosineAnnealingLR(o, T_max=h.steps, eta_min=f["eta_min"] * _peak(o))


def _linear(o: "torch.optim.Optimizer", f: Mapping[str, Any], h: Horizon) -> "LRScheduler":
    from torch.optim.lr_scheduler import LinearLR

    return LinearLR(o, start_factor=1.0, end_factor=f["end_factor"], total_iters=h.steps)


def _plateau(o: "torch.optim.Optimizer", f: Mapping[str, Any], h: Horizon) -> "LRScheduler":
    from lrsearch.plateau import Plateau

    return Plateau(o, factor=f["factor"], patience=round(f["patience"] * h.validations))


def _cyclic(o: "torch.optim.Optimizer", f: Mapping[str, Any], h: Horizon) -> "LRScheduler":
    from torch.optim.lr_scheduler import CyclicLR

    # cycle_momentum's default would overwrite the recipe's momentum at construction.
    return CyclicLR(
        o,
        base_lr=f["base_factor"] * _peak(o),
        max_lr=_peak(o),
        step_size_up=max(1, round(f["step_size_up"] * h.steps)),
        mode=f["mode"],
        cycle_momentum=False,
    )


def _one_cycle(o: "torch.optim.Optimizer", f: Mapping[str, Any], h: Horizon) -> "LRScheduler":
    from torch.optim.lr_scheduler import OneCycleLR

    pct_start = float(f["pct_start"])
    while pct_start * h.steps == 1:  # once is not always enough: 1/3 of 3 steps rounds to 1 again
        pct_start = math.nextafter(pct_start, 1)  # torch divides by pct_start * total_steps - 1
    arguments: dict[str, Any] = {"cycle_momentum": False}
    if f["cycle_momentum"]:
        # The recipe's momentum is the largest, as its lr is; torch's .85 to .95 if it has none.
        group = o.param_groups[0]
        top = group["betas"][0] if "betas" in group else (group["momentum"] or 0.95)
        arguments = {"max_momentum": top, "base_momentum": max(0.0, top - 0.1)}
    return OneCycleLR(
        o,
        max_lr=_peak(o),
        total_steps=h.steps,
        pct_start=pct_start,
        div_factor=f["div_factor"],
        final_div_factor=f["final_div_factor"],
        **arguments,
    )


SCHEDULES: dict[str, ScheduleInfo] = {
    "constant": ScheduleInfo(build=_constant, fields={}, defaults={}, ranges={}),
    "step": ScheduleInfo(
        build=_step,
        fields={"step_size": FRACTION, "gamma": OPEN_FACTOR},
        defaults={"step_size": 1 / 3, "gamma": 0.1},
        ranges={
            "step_size": Range(low=0.15, high=0.5),  # two to six cuts [LR]
            "gamma": Choice(choices=(0.1, 0.3, 0.5)),  # torch's default and milder [K]
        },
    ),
    "multistep": ScheduleInfo(
        build=_multistep,
        fields={"milestones": Fractions(), "gamma": OPEN_FACTOR},
        defaults={"milestones": (0.5, 0.75), "gamma": 0.1},
        ranges={
            # ResNet's 50/75 % (He et al. 2016), Wide-ResNet's 30/60/80 % (Zagoruyko 2016).
            "milestones": Choice(choices=((0.5, 0.75), (0.3, 0.6, 0.8))),
            "gamma": Choice(choices=(0.1, 0.3)),
        },
    ),
    "exponential": ScheduleInfo(
        build=_exponential,
        fields={"final": OPEN_FACTOR},
        defaults={"final": 1e-2},
        ranges={"final": Range(low=1e-3, high=0.3, log=True)},  # [AP] end factors 1e-3, 1e-2
    ),
    "cosine": ScheduleInfo(
        build=_cosine,
        fields={"eta_min": FACTOR},
        defaults={"eta_min": 0.0},
        ranges={"eta_min": Fixed(value=0.0)},  # decay to 0 [TP]
    ),
    "linear": ScheduleInfo(
        build=_linear,
        fields={"end_factor": FACTOR},
        defaults={"end_factor": 0.0},
        ranges={"end_factor": Fixed(value=0.0)},  # decay to 0 [TP]
    ),
    "plateau": ScheduleInfo(
        build=_plateau,
        fields={"factor": OPEN_FACTOR, "patience": FACTOR},
        defaults={"factor": 0.1, "patience": 0.1},
        ranges={
            "factor": Range(low=0.1, high=0.7, log=True),  # [K]
            "patience": Range(low=0.02, high=0.1),  # [K]
        },
        warmup=False,  # SequentialLR refuses ReduceLROnPlateau
    ),
    "cyclic": ScheduleInfo(
        build=_cyclic,
        fields={
            "base_factor": FACTOR,
            "step_size_up": FRACTION,
            "mode": Word(words=("triangular", "triangular2")),
        },
        defaults={"base_factor": 0.1, "step_size_up": 0.1, "mode": "triangular2"},
        ranges={
            "base_factor": Range(low=1e-2, high=0.3, log=True),  # Smith 2017: 1/4 to 1/3 and below
            "step_size_up": Range(low=0.05, high=0.25),  # 2 to 10 cycles in a run [LR]
            "mode": Fixed(value="triangular2"),
        },
        warmup=False,  # its constructor sets lr; inside SequentialLR it corrupts initial_lr
    ),
    "one_cycle": ScheduleInfo(
        build=_one_cycle,
        fields={
            "pct_start": OPEN_FACTOR,
            "div_factor": POSITIVE,
            "final_div_factor": POSITIVE,
            "cycle_momentum": FLAG,
        },
        defaults={
            "pct_start": 0.3,
            "div_factor": 25.0,
            "final_div_factor": 1e4,
            "cycle_momentum": False,
        },
        ranges={
            "pct_start": Range(low=0.1, high=0.4),  # around .25 (fastai) and .3 (torch) [1C]
            "div_factor": Fixed(value=25.0),  # [1C]
            "final_div_factor": Fixed(value=1e4),  # [1C]
            "cycle_momentum": Fixed(value=False),  # it and a searched momentum exclude each other
        },
        warmup=False,  # it warms up by itself
        momentum_flag="cycle_momentum",
    ),
}


def schedule_info(name: object, where: str) -> ScheduleInfo:
    """The registry entry for `name`. Raises SpecError with the near miss."""
    if not isinstance(name, str) or name not in SCHEDULES:
        raise SpecError(f"{where} = {name!r} is not a schedule{near_miss(name, SCHEDULES)}")
    return SCHEDULES[name]


def check_schedule(schedule: Mapping[str, Any], where: str) -> None:
    """Raises SpecError unless `schedule` (name and fields as in a recipe) can be built."""
    info = schedule_info(schedule.get("name"), f"{where}.name")
    for key, value in schedule.items():
        if key == "name":
            continue
        if key not in info.fields:
            hint = near_miss(key, info.fields) if info.fields else "; it has none"
            raise SpecError(f"{where}.{key} is not a field of {schedule['name']}{hint}")
        info.fields[key].check(value, f"{where}.{key}")


def illegal(optimizer: str, schedule: Mapping[str, Any], warmup: float) -> str | None:
    """Why these may not go together, or None. Every rule reads the registries."""
    info = SCHEDULES[schedule["name"]]
    if warmup and not info.warmup:
        return f"warmup = {warmup:g} cannot go with {schedule['name']}; use warmup 0"
    flag = info.momentum_flag
    if flag and schedule.get(flag) and OPTIMIZERS[optimizer].momentum is None:
        return f"{schedule['name']}.{flag} = true needs momentum, which {optimizer} has not"
    return None


def build_schedule(
    optimizer: "torch.optim.Optimizer",
    schedule: Mapping[str, Any],
    *,
    total_steps: int,
    warmup: float,
    validations: int,
) -> "LRScheduler":
    """The real torch scheduler for a checked schedule over `total_steps` optimizer steps.

    `warmup` is the fraction of `total_steps` that LinearLR takes first, joined by SequentialLR.
    """
    from torch.optim.lr_scheduler import LinearLR, SequentialLR

    info = SCHEDULES[schedule["name"]]
    fields = {**info.defaults, **schedule}
    warmup_steps = min(round(warmup * total_steps), total_steps - 1)
    horizon = Horizon(steps=total_steps - warmup_steps, validations=validations)
    if not warmup_steps:
        return info.build(optimizer, fields, horizon)
    warm = LinearLR(optimizer, start_factor=WARMUP_START_FACTOR, total_iters=warmup_steps)
    for group in optimizer.param_groups:
        group["lr"] = group["initial_lr"]  # LinearLR has already scaled lr; the peak is wanted next
    main = info.build(optimizer, fields, horizon)
    return SequentialLR(optimizer, [warm, main], milestones=[warmup_steps])
