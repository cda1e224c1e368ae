"""OPTIMIZERS: for each name its torch class, its fields with limits, and its preset ranges.

A new optimizer is one entry. `ranges` are what `{}` in a space means. Sources, by key:
[AP] AlgoPerf tuning search spaces (Dahl et al. 2023, reference JSON files).
[CV] Descending through a Crowded Valley (Schmidt et al. 2021), ranges as run.
[PD1] HyperBO / PD1 (Wang et al. 2021): 1 - momentum log-uniform in 1e-3..1.
[OE] Optuna's official PyTorch examples.
[LR] lrsearch's own 2,450 recorded runs (digits MLP and a Fashion-MNIST subset): 10-90 % of the
     best tenth lay at momentum-equivalent lr .008-.135 for SGD and lr .0007-.041 for AdamW.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from lrsearch.errors import SpecError, near_miss
from lrsearch.ranges import Choice, Domain, Range, is_number

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, kw_only=True)
class Limit:
    """What values a field takes."""

    kind: Literal["number", "flag", "pair"] = "number"
    low: float = 0.0
    high: float = math.inf
    #: Whether `low` itself is allowed.
    low_open: bool = False
    #: Whether `high` itself is allowed.
    high_open: bool = True

    def check(self, value: object, where: str) -> None:
        """Raises SpecError unless `value` is allowed."""
        if self.kind == "flag":
            if not isinstance(value, bool):
                raise SpecError(f"{where} = {value!r}, but true or false is accepted")
            return
        if self.kind == "pair":
            if not isinstance(value, list | tuple) or len(value) != 2:
                raise SpecError(f"{where} = {value!r}, but two numbers are needed")
            for i, item in enumerate(value):
                self._check_number(item, f"{where}[{i}]")
            return
        self._check_number(value, where)

    def _check_number(self, value: object, where: str) -> None:
        if not is_number(value):
            raise SpecError(f"{where} = {value!r}, but a finite number is needed")
        assert isinstance(value, int | float)
        too_low = value <= self.low if self.low_open else value < self.low
        too_high = value >= self.high if self.high_open else value > self.high
        if too_low or too_high:
            raise SpecError(f"{where} = {value!r}, but {self} is accepted")

    def __str__(self) -> str:
        low = f"{'above' if self.low_open else 'from'} {self.low:g}"
        if self.high == math.inf:
            return low
        return f"{low} {'to below' if self.high_open else 'to'} {self.high:g}"


LR = Limit(low_open=True)
UNIT = Limit(high=1.0)  # a decay rate: 0 <= value < 1
POSITIVE = Limit(low_open=True)
ANY_DECAY = Limit()
FLAG = Limit(kind="flag")
BETAS = Limit(kind="pair", high=1.0)


@dataclass(frozen=True, kw_only=True)
class OptimizerInfo:
    torch_class: str
    #: Fields a recipe may set, in torch's names, beside `name`, `lr` and `fused`.
    fields: Mapping[str, Limit]
    #: What `{}` searches. `beta1` and `beta2` are the two halves of torch's `betas`.
    ranges: Mapping[str, Domain]
    #: The field that schedules cycle; None if the optimizer has no momentum.
    momentum: Literal["momentum", "betas"] | None = None
    #: Whether torch has a fused implementation on CPU and CUDA.
    fused: bool = False
    #: What torch takes for fields that a recipe leaves out, where that is not 0 or False.
    torch_defaults: Mapping[str, Any] = field(default_factory=dict)

    def default(self, key: str) -> Any:
        """What torch takes when a recipe leaves the searchable field `key` out."""
        betas = {"betas": [0.9, 0.999], "beta1": 0.9, "beta2": 0.999}
        return self.torch_defaults.get(key, betas.get(key, 0.0))

    def searchable(self) -> dict[str, Limit]:
        """Fields that a space may name: the recipe's, with `betas` also by halves."""
        halves = {"beta1": UNIT, "beta2": UNIT} if "betas" in self.fields else {}
        return {"lr": LR, "fused": FLAG, **self.fields, **halves}


_ADAM_FIELDS = {
    "betas": BETAS,
    "eps": POSITIVE,
    "weight_decay": ANY_DECAY,
    "amsgrad": FLAG,
}
_ONE_MINUS_BETA1 = Range(low=2e-2, high=0.5, log=True, unit="complement", in_unit=True)  # [AP]

OPTIMIZERS: dict[str, OptimizerInfo] = {
    "sgd": OptimizerInfo(
        torch_class="SGD",
        fields={
            "momentum": UNIT,
            "dampening": UNIT,
            "weight_decay": ANY_DECAY,
            "nesterov": FLAG,
        },
        ranges={
            # At momentum 0.9: the union of [CV] 1e-4..1 and [AP] 2e-2..5 for batches of ~1k,
            # cut to a decade and more around the best tenth of [LR].
            "lr": Range(low=1e-3, high=1.0, log=True, unit="momentum_equivalent", in_unit=True),
            # [PD1] 1e-3..1, its lower end raised to 1e-2: [LR] has no winner above 0.99.
            "momentum": Range(low=1e-2, high=1.0, log=True, unit="complement", in_unit=True),
            "nesterov": Choice(choices=(True, False)),
            "weight_decay": Range(low=1e-7, high=1e-3, log=True),  # [AP] to 5e-5, small sets more
        },
        momentum="momentum",
        fused=True,
    ),
    "adam": OptimizerInfo(
        torch_class="Adam",
        fields=_ADAM_FIELDS,
        ranges={
            "lr": Range(low=1e-4, high=1e-1, log=True),  # [CV] 1e-4..1; best tenth of [LR]
            "beta1": _ONE_MINUS_BETA1,
        },
        momentum="betas",
        fused=True,
        torch_defaults={"eps": 1e-8},
    ),
    "adamw": OptimizerInfo(
        torch_class="AdamW",
        fields=_ADAM_FIELDS,
        ranges={
            "lr": Range(low=1e-4, high=1e-1, log=True),  # [AP] 1e-4..1e-2; [LR] to .041
            "beta1": _ONE_MINUS_BETA1,
            "weight_decay": Range(low=5e-3, high=1.0, log=True),  # [AP], decoupled
        },
        momentum="betas",
        fused=True,
        torch_defaults={"eps": 1e-8, "weight_decay": 0.01},
    ),
    "adagrad": OptimizerInfo(
        torch_class="Adagrad",
        fields={
            "lr_decay": ANY_DECAY,
            "weight_decay": ANY_DECAY,
            "initial_accumulator_value": ANY_DECAY,
            "eps": POSITIVE,
        },
        # torch's default 1e-2, a decade and a half each way; lr_decay stays 0, as it would
        # fight the schedule.
        ranges={"lr": Range(low=3e-4, high=3e-1, log=True)},
        fused=True,
        torch_defaults={"eps": 1e-10},
    ),
    "rmsprop": OptimizerInfo(
        torch_class="RMSprop",
        fields={
            "alpha": UNIT,
            "eps": POSITIVE,
            "weight_decay": ANY_DECAY,
            "momentum": UNIT,
            "centered": FLAG,
        },
        ranges={
            "lr": Range(low=1e-5, high=1e-1, log=True),  # [OE]
            # torch's default .99 within a decade; textbook .9 at the upper end.
            "alpha": Range(low=1e-3, high=0.3, log=True, unit="complement", in_unit=True),
            "momentum": Choice(choices=(0.0, 0.9)),
        },
        momentum="momentum",
        torch_defaults={"alpha": 0.99, "eps": 1e-8},
    ),
}


def optimizer_info(name: object, where: str) -> OptimizerInfo:
    """The registry entry for `name`. Raises SpecError with the near miss."""
    if not isinstance(name, str) or name not in OPTIMIZERS:
        raise SpecError(f"{where} = {name!r} is not an optimizer{near_miss(name, OPTIMIZERS)}")
    return OPTIMIZERS[name]


def check_optimizer(optimizer: Mapping[str, Any], where: str) -> None:
    """Raises SpecError unless `optimizer` (name, lr, ... as in a recipe) can be built."""
    info = optimizer_info(optimizer.get("name"), f"{where}.name")
    limits = {"lr": LR, "fused": FLAG, **info.fields}
    if "lr" not in optimizer:
        raise SpecError(f"{where}.lr is missing")
    for key, value in optimizer.items():
        if key == "name":
            continue
        if key not in limits:
            raise SpecError(
                f"{where}.{key} is not a field of {optimizer['name']}{near_miss(key, limits)}"
            )
        limits[key].check(value, f"{where}.{key}")
    if optimizer.get("fused") and not info.fused:
        raise SpecError(f"{where}.fused = true, but torch has no fused {info.torch_class}")
    if optimizer.get("nesterov"):
        if not optimizer.get("momentum"):
            raise SpecError(f"{where}.nesterov = true needs a momentum above 0")
        if optimizer.get("dampening"):
            raise SpecError(f"{where}.nesterov = true needs dampening 0")


def build_optimizer(
    optimizer: Mapping[str, Any], parameters: "list[torch.nn.Parameter]"
) -> "torch.optim.Optimizer":
    """The real `torch.optim` object for an optimizer mapping that `check_optimizer` passed."""
    import torch

    info = OPTIMIZERS[optimizer["name"]]
    arguments = {key: value for key, value in optimizer.items() if key not in ("name", "fused")}
    if "betas" in arguments:
        arguments["betas"] = tuple(arguments["betas"])
    if optimizer.get("fused"):
        arguments["fused"] = True
    result: torch.optim.Optimizer = getattr(torch.optim, info.torch_class)(parameters, **arguments)
    return result
