"""OPTIMIZERS: for each name its torch class, its fields with limits, ranges and legality.

A new optimizer is one entry. `ranges` are what `{}` in a space means. Sources, by key:
[AP] AlgoPerf tuning search spaces (Dahl et al. 2023, reference JSON files).
[CV] Descending through a Crowded Valley (Schmidt et al. 2021), ranges as run.
[PD1] HyperBO / PD1 (Wang et al. 2021): 1 - momentum log-uniform in 1e-3..1.
[OE] Optuna's official PyTorch examples. [PT] torch's own default or docstring, with a decade and a
half each way. [MS] Moonlight (Liu et al. 2025): Muon whose update has AdamW's RMS takes AdamW's
learning rate and weight decay.
[LR] lrsearch's own 2,450 recorded runs (digits MLP and a Fashion-MNIST subset): 10-90 % of the
     best tenth lay at momentum-equivalent lr .008-.135 for SGD and lr .0007-.041 for AdamW.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from lrsearch.catalog.domains import Choice, Domain, Fixed, Range
from lrsearch.catalog.fields import (
    BETAS,
    DECAY_RATE,
    FLAG,
    NOT_NEGATIVE,
    OPEN_FACTOR,
    POSITIVE,
    FieldLimit,
    Limit,
    Pair,
    Word,
)
from lrsearch.catalog.known_classes import KnownClass
from lrsearch.plain_data import Fields


@dataclass(frozen=True, kw_only=True)
class OptimizerInfo:
    #: `package.module.Class`.
    path: str
    #: Fields a recipe may set, in torch's names, beside `name`, `lr` and `fused`.
    fields: Mapping[str, FieldLimit]
    #: What `{}` searches. `beta1` and `beta2` are the two halves of torch's `betas`.
    ranges: Mapping[str, Domain]
    #: The field that schedules cycle; None if the optimizer has no momentum.
    momentum: Literal["momentum", "betas"] | None = None
    #: Whether momentum sums gradients up, so that a step is as long as lr / (1 - momentum).
    accumulates: bool = False
    #: Types of device on which the class has a fused implementation.
    fused: tuple[str, ...] = ()
    #: What the class takes for fields that a recipe leaves out, where that is not 0 or False.
    defaults: Fields = field(default_factory=dict)
    #: Fields that have no default.
    required: frozenset[str] = frozenset()
    #: Why no schedule but `constant` may drive its lr, if so.
    constant_only: str | None = None
    #: Whether it has `train()` and `eval()`, as those that average weights themselves do.
    switches: bool = False
    #: What its signature does not say, of a class of another package.
    known: KnownClass = field(default_factory=KnownClass)
    #: Whether it is a class of the study's own that is not loaded here: any field may be right.
    unseen: bool = False

    @property
    def class_name(self) -> str:
        return self.path.rpartition(".")[2].rpartition(":")[2]

    @property
    def builtin(self) -> bool:
        """Whether torch has it (or, for Muon with AdamW, both its parts)."""
        return self.path.startswith("torch.optim.")

    def default(self, key: str) -> Any:
        """What the class takes when a recipe leaves the searchable field `key` out."""
        betas = self.defaults.get("betas", [0.9, 0.999])
        halves = {"betas": betas, "beta1": betas[0], "beta2": betas[1]}
        return self.defaults.get(key, halves.get(key, 0.0))

    def taken(self, optimizer: Fields, key: str) -> Any:
        """What the class takes for the field where a recipe has this optimizer."""
        return optimizer.get(key, self.default(key))

    def recipe_fields(self) -> dict[str, FieldLimit]:
        """What may stand in a recipe beside the name."""
        return {"lr": POSITIVE, "fused": FLAG, **self.fields}

    def searchable(self) -> dict[str, FieldLimit]:
        """Fields that a space may name: the recipe's, with `betas` also by halves."""
        pair = self.fields.get("betas")
        halves = {"beta1": pair.first, "beta2": pair.second} if isinstance(pair, Pair) else {}
        return {**self.recipe_fields(), **halves}


#: Parameters of fewer than two dimensions (norms, biases) get no weight decay; timm's name for it.
EXCLUDE_1D = {"weight_decay_exclude_1d": FLAG}
_DECAY: dict[str, FieldLimit] = {"weight_decay": NOT_NEGATIVE, **EXCLUDE_1D}
_ADAM: dict[str, FieldLimit] = {"betas": BETAS, "eps": POSITIVE, **_DECAY}
_ONE_MINUS_BETA1 = Range(low=2e-2, high=0.5, log=True, unit="complement", in_unit=True)  # [AP]
#: From torch 2.6 on; Adagrad's for CUDA is of a later torch.
_FUSED = ("cpu", "cuda", "mps")
_DECOUPLED = Range(low=5e-3, high=1.0, log=True)  # [AP], decoupled
_RPROP = "rprop reads lr at its first step only, so no schedule or warm-up can drive it"

OPTIMIZERS: dict[str, OptimizerInfo] = {
    "sgd": OptimizerInfo(
        path="torch.optim.SGD",
        fields={
            "momentum": DECAY_RATE,
            "dampening": Limit(high=1.0),
            "nesterov": FLAG,
            **_DECAY,
        },
        ranges={
            # At momentum 0.9 and batch 64: [CV] 1e-4..1, cut to a decade and more around the best
            # tenth of [LR]; at batch 1024 it is 1.6e-2..16, where [AP] has 2e-2..5.
            "lr": Range(low=1e-3, high=1.0, log=True, unit="momentum_equivalent", in_unit=True),
            # [PD1] 1e-3..1, its lower end raised to 1e-2: [LR] has no winner above 0.99.
            "momentum": Range(low=1e-2, high=1.0, log=True, unit="complement", in_unit=True),
            "nesterov": Choice(choices=(True, False)),
            "weight_decay": Range(low=1e-7, high=1e-3, log=True),  # [AP] to 5e-5, small sets more
        },
        momentum="momentum",
        accumulates=True,
        fused=_FUSED,
    ),
    "adam": OptimizerInfo(
        path="torch.optim.Adam",
        fields={**_ADAM, "amsgrad": FLAG},
        ranges={
            "lr": Range(low=1e-4, high=1e-1, log=True),  # [CV] 1e-4..1; best tenth of [LR]
            "beta1": _ONE_MINUS_BETA1,
        },
        momentum="betas",
        fused=_FUSED,
        defaults={"eps": 1e-8},
    ),
    "adamw": OptimizerInfo(
        path="torch.optim.AdamW",
        fields={**_ADAM, "amsgrad": FLAG},
        ranges={
            "lr": Range(low=1e-4, high=1e-1, log=True),  # [AP] 1e-4..1e-2; [LR] to .041
            "beta1": _ONE_MINUS_BETA1,
            "weight_decay": _DECOUPLED,
        },
        momentum="betas",
        fused=_FUSED,
        defaults={"eps": 1e-8, "weight_decay": 0.01},
    ),
    "nadam": OptimizerInfo(
        path="torch.optim.NAdam",
        fields={**_ADAM, "momentum_decay": NOT_NEGATIVE, "decoupled_weight_decay": FLAG},
        ranges={
            "lr": Range(low=1e-4, high=1e-1, log=True),  # [AP] 1e-4..1e-2; upper end as adamw's
            "beta1": Range(low=4e-3, high=0.1, log=True, unit="complement", in_unit=True),  # [AP]
            "weight_decay": _DECOUPLED,
            "decoupled_weight_decay": Fixed(value=True),  # AlgoPerf's NAdamW
        },
        momentum="betas",
        defaults={"eps": 1e-8, "momentum_decay": 4e-3},
    ),
    "radam": OptimizerInfo(
        path="torch.optim.RAdam",
        fields={**_ADAM, "decoupled_weight_decay": FLAG},
        ranges={
            "lr": Range(low=1e-4, high=1e-1, log=True),  # as adamw's
            "beta1": _ONE_MINUS_BETA1,
            "weight_decay": _DECOUPLED,
            "decoupled_weight_decay": Fixed(value=True),
        },
        momentum="betas",
        defaults={"eps": 1e-8},
    ),
    "adamax": OptimizerInfo(
        path="torch.optim.Adamax",
        fields=_ADAM,
        ranges={
            "lr": Range(low=1e-4, high=1e-1, log=True),  # [PT] 2e-3
            "beta1": _ONE_MINUS_BETA1,
        },
        momentum="betas",
        defaults={"eps": 1e-8},
    ),
    "adagrad": OptimizerInfo(
        path="torch.optim.Adagrad",
        fields={
            "lr_decay": NOT_NEGATIVE,
            "initial_accumulator_value": NOT_NEGATIVE,
            "eps": POSITIVE,
            **_DECAY,
        },
        # [PT] 1e-2; lr_decay stays 0, as it would fight the schedule.
        ranges={"lr": Range(low=3e-4, high=3e-1, log=True)},
        fused=("cpu",),
        defaults={"eps": 1e-10},
    ),
    "adadelta": OptimizerInfo(
        path="torch.optim.Adadelta",
        fields={"rho": DECAY_RATE, "eps": POSITIVE, **_DECAY},
        ranges={
            "lr": Range(low=3e-2, high=30.0, log=True),  # [PT] 1
            "rho": Range(low=1e-2, high=0.3, log=True, unit="complement", in_unit=True),  # [PT] .9
        },
        defaults={"rho": 0.9, "eps": 1e-6},
    ),
    "rmsprop": OptimizerInfo(
        path="torch.optim.RMSprop",
        fields={
            "alpha": DECAY_RATE,
            "eps": POSITIVE,
            "momentum": DECAY_RATE,
            "centered": FLAG,
            **_DECAY,
        },
        ranges={
            "lr": Range(low=1e-5, high=1e-1, log=True),  # [OE]
            # torch's default .99 within a decade; textbook .9 at the upper end.
            "alpha": Range(low=1e-3, high=0.3, log=True, unit="complement", in_unit=True),
            "momentum": Choice(choices=(0.0, 0.9)),
        },
        momentum="momentum",
        accumulates=True,
        defaults={"alpha": 0.99, "eps": 1e-8},
    ),
    "adafactor": OptimizerInfo(
        path="torch.optim.Adafactor",
        fields={
            "beta2_decay": Limit(low=-math.inf, high=0.0, high_open=False),
            "d": POSITIVE,
            **_DECAY,
        },
        ranges={
            # Relative to the RMS of each parameter, and capped by 1 / sqrt(step): [AP] 1e-4..1e-2
            # for the absolute one, [PT] 1e-2.
            "lr": Range(low=1e-4, high=1e-1, log=True),
            "weight_decay": Range(low=1e-3, high=1.0, log=True),  # [AP], decoupled
        },
        defaults={"beta2_decay": -0.8, "d": 1.0},
    ),
    "asgd": OptimizerInfo(
        path="torch.optim.ASGD",
        fields={
            "lambd": NOT_NEGATIVE,
            "alpha": NOT_NEGATIVE,  # the power by which its own rate falls, no decay rate
            "t0": NOT_NEGATIVE,
            **_DECAY,
        },
        ranges={"lr": Range(low=1e-3, high=3.0, log=True)},  # [PT] 1e-2; no momentum: sgd's x 10
        defaults={"lambd": 1e-4, "alpha": 0.75, "t0": 1e6},
    ),
    "rprop": OptimizerInfo(
        path="torch.optim.Rprop",
        fields={
            "etas": Pair(first=OPEN_FACTOR, second=Limit(low=1.0, low_open=True)),
            "step_sizes": Pair(first=POSITIVE, second=POSITIVE),
        },
        ranges={"lr": Range(low=1e-5, high=1e-1, log=True)},  # its first step; [PT] 1e-2
        defaults={"etas": [0.5, 1.2], "step_sizes": [1e-6, 50.0]},
        constant_only=_RPROP,
    ),
    "muon": OptimizerInfo(
        path="torch.optim.Muon",
        fields={
            "momentum": DECAY_RATE,
            "nesterov": FLAG,
            "ns_steps": Limit(low=1, integer=True, high=100),
            "eps": POSITIVE,
            "adjust_lr_fn": Word(words=("match_rms_adamw", "original")),
            #: lr of the AdamW part, as a multiple of `lr`.
            "adamw_lr_factor": POSITIVE,
            "adamw_betas": BETAS,
            "adamw_eps": POSITIVE,
            **_DECAY,
        },
        ranges={
            "lr": Range(low=1e-4, high=1e-1, log=True),  # [MS]: adamw's
            "momentum": Range(low=2e-2, high=0.1, log=True, unit="complement", in_unit=True),
            "weight_decay": _DECOUPLED,  # [MS]: adamw's
        },
        momentum="momentum",
        defaults={
            "momentum": 0.95,
            "nesterov": True,
            "weight_decay": 0.1,
            "ns_steps": 5,
            "eps": 1e-7,
            "adjust_lr_fn": "match_rms_adamw",
            "adamw_lr_factor": 1.0,
            "adamw_betas": [0.9, 0.999],
            "adamw_eps": 1e-8,
        },
    ),
}

#: What torch has and a search over minibatches cannot use; by its name here and its class.
REFUSED = {
    "lbfgs": "LBFGS needs a closure that evaluates the loss several times a step, and one batch "
    "for all of them",
    "sparse_adam": "SparseAdam takes sparse gradients only, and the layers of a dense model have "
    "none",
}
