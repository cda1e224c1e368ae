"""PRESETS: named spaces, each number with its source beside it.

`default` is what the registries say. The others change ranges for more optimism, more doubt, or a
model that is trained already. Sources, beside those of the registries:
[TP] Deep Learning Tuning Playbook (Godbole et al. 2023): under 10 trials tune lr only, up to 25 lr
and momentum. [HF] transformers' default_hp_space_optuna, and its optimizer groups. [KO] Kornblith
et al. 2019: lr 1e-4..1e-1 and weight decay 1e-6..1e-3 for fine-tuning with SGD. [DV] Devlin et al.
2019: linear decay after 10 % warm-up, weight decay 0.01. [DF] DeBERTa on MNLI (He et al. 2021): lr
5e-6..3e-5, warm-up up to 10 %.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from lrsearch.catalog.domains import Choice, Domain, Fixed, Range
from lrsearch.catalog.optimizers import OPTIMIZERS
from lrsearch.catalog.schedules import SCHEDULES

Domains = Mapping[str, Mapping[str, Domain]]


@dataclass(frozen=True, kw_only=True)
class Preset:
    #: One line for people.
    title: str
    optimizers: Domains
    schedules: Domains
    warmup: Domain


def _log(low: float, high: float) -> Range:
    return Range(low=low, high=high, log=True)


def _one_minus(low: float, high: float) -> Range:
    return replace(_log(low, high), unit="complement", in_unit=True)


def _sgd_lr(low: float, high: float) -> Range:
    return replace(_log(low, high), unit="momentum_equivalent", in_unit=True)


def _own(*names: str) -> dict[str, Mapping[str, Domain]]:
    """Optimizers or schedules with the ranges of their registry."""
    return {n: OPTIMIZERS[n].ranges if n in OPTIMIZERS else SCHEDULES[n].ranges for n in names}


def _lr(optimizer: str) -> Domain:
    return OPTIMIZERS[optimizer].ranges["lr"]


def _edited(optimizer: str, **domains: Domain) -> Mapping[str, Domain]:
    """The ranges of the registry but for these."""
    return {**OPTIMIZERS[optimizer].ranges, **domains}


_DECAYED = {"weight_decay_exclude_1d": Fixed(value=True)}  # [HF]: none on norms and biases

PRESETS: dict[str, Preset] = {
    "quick": Preset(
        title="lr and schedule only: 10 to 25 trials",
        optimizers={
            "sgd": {
                "lr": _lr("sgd"),
                "momentum": Fixed(value=0.9),  # [TP] fixed below 10 trials
                "nesterov": Fixed(value=True),
                "weight_decay": Fixed(value=5e-4),  # Zagoruyko & Komodakis 2016
            },
            "adamw": {
                "lr": _lr("adamw"),
                "weight_decay": Fixed(value=0.01),  # torch's default
            },
        },
        schedules={
            "cosine": SCHEDULES["cosine"].ranges,
            "one_cycle": {
                **SCHEDULES["one_cycle"].ranges,
                "pct_start": Fixed(value=0.3),  # torch's default
            },
        },
        warmup=Choice(choices=(0.0, 0.05)),  # AlgoPerf's fixed 5 %, and none
    ),
    "default": Preset(
        title="three optimizers, six schedules: about 60 trials",
        # One of each family that the playbook tunes first: momentum, Adam with decoupled decay,
        # and the adaptive rate without momentum correction.
        optimizers=_own("sgd", "adamw", "rmsprop"),
        schedules=_own("constant", "step", "exponential", "cosine", "linear", "one_cycle"),
        # AlgoPerf's fixed 5 %, and none; beyond 10 % train longer instead [TP].
        warmup=Choice(choices=(0.0, 0.05)),
    ),
    "wide": Preset(
        title="eleven optimizers, twelve schedules, ranges a decade wider: 200 trials and more",
        optimizers={
            **_own("radam", "adamax", "adagrad", "adadelta", "adafactor"),
            "sgd": {
                **OPTIMIZERS["sgd"].ranges,
                "lr": _sgd_lr(1e-5, 10.0),  # [PD1] 1e-5..10
                "momentum": _one_minus(1e-3, 1.0),  # [PD1]
                "weight_decay": _log(1e-8, 1e-2),  # a decade each way
            },
            "adam": {
                "lr": _log(1e-5, 1.0),  # [CV] 1e-4..1, and a decade below
                "beta1": _one_minus(2e-2, 0.5),  # [AP]
                "beta2": _one_minus(1e-3, 0.2),  # [CV] beta2 .8..0.999
            },
            "adamw": {
                "lr": _log(1e-5, 1.0),  # [CV] for Adam
                "beta1": _one_minus(2e-2, 0.5),  # [AP]
                "beta2": _one_minus(1e-3, 0.2),  # [CV]
                "weight_decay": _log(1e-3, 1.0),  # [AP] from 5e-3, LAMB's from 1e-3
            },
            "nadam": _edited("nadam", lr=_log(1e-5, 1.0)),  # as adamw's
            "rmsprop": _edited("rmsprop", weight_decay=_log(1e-6, 1e-2)),  # [K]
            "muon": _edited("muon", lr=_log(1e-5, 1.0)),  # as adamw's
        },
        schedules=_own(*(name for name in SCHEDULES if name not in ("plateau", "cyclic"))),
        warmup=Choice(choices=(0.0, 0.02, 0.05, 0.1)),  # AlgoPerf
    ),
    "finetune": Preset(
        title="a trained model on a new task: small rates, no decay on norms and biases",
        optimizers={
            "adamw": {
                "lr": _log(1e-6, 1e-4),  # [HF]; [DF] lies inside
                "weight_decay": Choice(choices=(0.0, 0.01, 0.1)),  # [HF] 0, [DV] .01, AP's middle
                **_DECAYED,
            },
            "sgd": {
                "lr": _sgd_lr(1e-4, 1e-1),  # [KO]
                "momentum": Fixed(value=0.9),  # [KO]
                "nesterov": Choice(choices=(True, False)),
                "weight_decay": _log(1e-6, 1e-3),  # [KO]
                **_DECAYED,
            },
        },
        schedules=_own("linear", "cosine", "constant"),  # [DV], [KO]
        warmup=Choice(choices=(0.0, 0.06, 0.1)),  # RoBERTa 6 % (Liu et al. 2019), [DV] 10 %
    ),
}
