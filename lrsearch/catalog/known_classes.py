"""KNOWN_CLASSES: what is known of optimizers of other packages beside their signatures.

`ranges` are what `{}` in a space means. Sources, by key:
[PO] the class's own default (pytorch-optimizer 4.1, schedulefree 1.4, prodigyopt 1.1), a decade and
a half each way.
[LION] Chen et al. 2023, section 5: lr 3 to 10 times smaller than AdamW's, weight decay 3 to 10
times larger.
[SOAP] Vyas et al. 2024 and their README: lr 3e-3, betas .95, eigenbases every 10 steps.
[ADEMAMIX] Pagliardini et al. 2024: lr and weight decay are AdamW's; alpha 4 to 10, beta3 .9999.
[MARS] Yuan et al. 2024: lr 2e-3 to 6e-3 where AdamW has 3e-4 to 6e-4, gamma .025.
[SCION] Pethick et al. 2025 and their README: lr x scale is 2^-12 x 50 = .012 for nanoGPT, .05 x 8 =
.4 for CIFAR; momentum, the weight of the new gradient, .1, and up to .6 for short runs.
[ADOPT] Taniguchi et al. 2024: lr is Adam's, betas .9 and .9999.
[KRON] README of kron-torch: lr and weight decay act as Adam's do.
[SF] README of schedulefree: lr 1 to 10 times larger than AdamW's with a schedule, 10 to 50 times
larger than SGD's; AlgoPerf's self-tuning winner (Defazio et al. 2024) had 2.5e-3.
[PRODIGY] README of prodigyopt: lr stays 1, d_coef is what is tuned, .1 to 10; weight decay 0 to .1;
safeguard_warmup with a warm-up.
[SOPHIA] Liu et al. 2023: a step is at most lr x p long; [PO] has .06 x .01.
[ADAHESSIAN] Yao et al. 2021: lr .1 to .15 where SGD has .1.
[AW] AdamW's range in `OPTIMIZERS`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from lrsearch.catalog.domains import Choice, Domain, Fixed, Range
from lrsearch.catalog.fields import FieldLimit, Limit
from lrsearch.plain_data import Fields

#: Packages whose classes are listed here, and how pip installs them.
PACKAGES = {
    "pytorch_optimizer": "lrsearch[optimizers]",
    "schedulefree": "lrsearch[optimizers]",
    "prodigyopt": "lrsearch[optimizers]",
}


@dataclass(frozen=True, kw_only=True)
class KnownClass:
    """What the signature of an optimizer's class does not say."""

    ranges: Mapping[str, Domain] = field(default_factory=dict)
    #: What `{}` means where a class of the study's own says it, as a study file writes it.
    written: Fields = field(default_factory=dict)
    #: Limits that the names and defaults of arguments would have led to wrongly.
    limits: Mapping[str, FieldLimit] = field(default_factory=dict)
    #: `none` where the field called `momentum` is not one that schedules could cycle.
    momentum: Literal["by signature", "none"] = "by signature"
    #: Schedules that its authors advise against, and why.
    unadvised: Mapping[str, str] = field(default_factory=dict)
    #: A flag that its authors advise with warm-up.
    warmup_flag: str | None = None
    #: Why its trials are not trained as one program, if so.
    alone: str | None = None
    #: Whether it differentiates the gradients.
    second_order: bool = False


def _log(low: float, high: float) -> Range:
    return Range(low=low, high=high, log=True)


_ADAMW_LR = _log(1e-4, 1e-1)  # [AW]
_DECOUPLED = _log(5e-3, 1.0)  # [AW]
_ONE_MINUS_BETA1 = Range(low=2e-2, high=0.5, log=True, unit="complement", in_unit=True)  # [AW]
_YES = Fixed(value=True)
_DRAWS = "draws random numbers, which each trial needs to itself"

_SCHEDULE_FREE_ADAMW = KnownClass(
    ranges={
        "lr": _log(2.5e-4, 0.25),  # [SF] around 2.5e-3
        # [SF] .9, and .95 or .98 in long runs
        "beta1": Range(low=2e-2, high=0.1, log=True, unit="complement", in_unit=True),
        "weight_decay": _DECOUPLED,
    },
)
_SCHEDULE_FREE_SGD = KnownClass(
    ranges={
        "lr": _log(3e-2, 30.0),  # [SF] [PO] 1
        "momentum": Range(low=2e-2, high=0.1, log=True, unit="complement", in_unit=True),  # [SF]
        "weight_decay": _log(1e-7, 1e-3),  # as sgd's
    },
)
_SCHEDULE_FREE_RADAM = KnownClass(ranges=_SCHEDULE_FREE_ADAMW.ranges)
_NO_RESTARTS = "its authors advise against restarts"
_PRODIGY = KnownClass(
    ranges={
        "lr": Fixed(value=1.0),  # [PRODIGY]
        "d_coef": _log(0.1, 10.0),  # [PRODIGY]
        "weight_decay": Choice(choices=(0.0, 0.001, 0.01, 0.1)),  # [PRODIGY]
        "safeguard_warmup": _YES,  # [PRODIGY]
    },
    unadvised={"cosine_restarts": _NO_RESTARTS, "cyclic": _NO_RESTARTS},
    warmup_flag="safeguard_warmup",
)
_SCION = KnownClass(
    ranges={
        "lr": _log(1e-3, 1.0),  # [SCION] at scale 1; [PO] 1e-3
        "momentum": _log(0.1, 0.6),  # [SCION]
        "weight_decay": Choice(choices=(0.0, 0.1)),  # [PO] 0, and a common one
        "norm_type": Fixed(value=1),  # [PO] LMONorm.AUTO, as a number that checkpoints can hold
    },
    limits={"momentum": Limit(high=1.0, low_open=True, high_open=False)},
    momentum="none",
)

KNOWN_CLASSES: dict[str, KnownClass] = {
    "pytorch_optimizer.SOAP": KnownClass(
        ranges={
            "lr": _log(1e-4, 1e-1),  # [SOAP] 3e-3, a decade and a half each way
            "beta1": Range(low=2e-2, high=0.2, log=True, unit="complement", in_unit=True),  # [SOAP]
            "weight_decay": _DECOUPLED,  # [SOAP] .01, decoupled
        },
        # Of matrices that have not their full rank yet: a last bit turns the rest of the basis.
        alone="takes eigenvectors, which rounding turns",
    ),
    "pytorch_optimizer.Lion": KnownClass(
        ranges={
            "lr": _log(1e-5, 3e-2),  # [LION]: [AW] / 10 to / 3
            "beta1": _ONE_MINUS_BETA1,
            "weight_decay": _log(1.5e-2, 10.0),  # [LION]: [AW] x 3 to x 10
        },
    ),
    "pytorch_optimizer.AdEMAMix": KnownClass(
        ranges={
            "lr": _ADAMW_LR,  # [ADEMAMIX]
            # [ADEMAMIX] .9999, which spans 10,000 steps; .999 for shorter runs
            "betas": Choice(choices=((0.9, 0.999, 0.999), (0.9, 0.999, 0.9999))),
            "alpha": Range(low=4.0, high=10.0),  # [ADEMAMIX]
            "weight_decay": _DECOUPLED,  # [ADEMAMIX]
            "weight_decouple": _YES,  # [ADEMAMIX]
        },
    ),
    "pytorch_optimizer.MARS": KnownClass(
        ranges={
            "lr": _log(3e-4, 0.3),  # [MARS]: [AW] x 3
            "gamma": _log(5e-3, 0.1),  # [MARS] .025
            "beta1": Range(low=2e-2, high=0.1, log=True, unit="complement", in_unit=True),  # [MARS]
            "weight_decay": _DECOUPLED,
            "optimize_1d": _YES,  # else norms and biases have a fixed ratio lr_1d / lr of their own
        },
    ),
    "pytorch_optimizer.SCION": _SCION,
    "pytorch_optimizer.SCIONLight": _SCION,
    "pytorch_optimizer.ADOPT": KnownClass(
        ranges={
            "lr": _ADAMW_LR,  # [ADOPT]
            "beta1": _ONE_MINUS_BETA1,
            "weight_decay": _DECOUPLED,
            "weight_decouple": _YES,
        },
    ),
    "pytorch_optimizer.Kron": KnownClass(
        ranges={
            "lr": _log(3e-5, 3e-2),  # [PO] 1e-3; [KRON]
            "momentum": Range(low=2e-2, high=0.5, log=True, unit="complement", in_unit=True),
            "weight_decay": _DECOUPLED,  # [KRON]
        },
        alone=_DRAWS,
    ),
    "pytorch_optimizer.ScheduleFreeAdamW": _SCHEDULE_FREE_ADAMW,
    "pytorch_optimizer.ScheduleFreeSGD": _SCHEDULE_FREE_SGD,
    "pytorch_optimizer.ScheduleFreeRAdam": _SCHEDULE_FREE_RADAM,
    "pytorch_optimizer.Prodigy": _PRODIGY,
    "pytorch_optimizer.SophiaH": KnownClass(
        ranges={
            "lr": _log(3e-3, 1.0),  # [SOPHIA] .06
            "weight_decay": _DECOUPLED,
        },
        alone="differentiates the gradients, of one trial at a time",
        second_order=True,
    ),
    "pytorch_optimizer.AdaHessian": KnownClass(
        ranges={
            "lr": _log(1e-2, 1.0),  # [ADAHESSIAN]
            "beta1": _ONE_MINUS_BETA1,
            "weight_decay": _log(1e-5, 1e-1),  # [ADAHESSIAN] 5e-4 on CIFAR; times lr, as AdamW's
        },
        alone="differentiates the gradients, of one trial at a time",
        second_order=True,
    ),
    "pytorch_optimizer.DASH": KnownClass(alone=_DRAWS),
    "pytorch_optimizer.Gravity": KnownClass(alone=_DRAWS),
    "schedulefree.AdamWScheduleFree": _SCHEDULE_FREE_ADAMW,
    "schedulefree.SGDScheduleFree": _SCHEDULE_FREE_SGD,
    "schedulefree.RAdamScheduleFree": _SCHEDULE_FREE_RADAM,
    "prodigyopt.Prodigy": _PRODIGY,
}


#: Classes whose step needs a closure although its signature does not say so.
NEED_CLOSURE = frozenset(
    f"pytorch_optimizer.{name}"
    for name in ("SAM", "WSAM", "BSAM", "GSAM", "LookSAM", "FriendlySAM", "AliG")
)


def full_name(name: str) -> str | None:
    """The listed class that a short name, such as `lion`, means; None if there is none."""
    plain = name.lower().replace("_", "").replace("-", "")
    short = {known.rpartition(".")[2].lower(): known for known in reversed(KNOWN_CLASSES)}
    others = {"psgd": "kron", "psgdkron": "kron", "schedulefree": "schedulefreeadamw"}
    return short.get(others.get(plain, plain))
