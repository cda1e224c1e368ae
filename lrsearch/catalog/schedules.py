"""SCHEDULES: for each name its fields with limits, ranges and legality.

Fractions are of the steps after warm-up, factors are of lr, and lr is the peak of every schedule.
A new schedule is one entry here, one factory in `recipe/build_scheduler.py` and one shape in
`recipe/lr_factors.py`.

Sources of the ranges, by key:
[AP] AlgoPerf (Dahl et al. 2023). [TP] Deep Learning Tuning Playbook (Godbole et al. 2023).
[PD1] HyperBO / PD1 (Wang et al. 2021). [1C] fastai / torch defaults of the 1cycle policy (Smith &
Topin 2018). [LR] lrsearch's own 2,450 recorded runs, which drew from these ranges. [K] convention,
no source.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from lrsearch.catalog.domains import Choice, Domain, Fixed, Range
from lrsearch.catalog.fields import (
    FACTOR,
    FLAG,
    FRACTION,
    OPEN_FACTOR,
    POSITIVE,
    FieldLimit,
    Fractions,
    Limit,
    Word,
)
from lrsearch.plain_data import Fields

#: Warm-up starts here instead of at 0, which torch's LinearLR refuses.
WARMUP_START_FACTOR = 1e-8


@dataclass(frozen=True, kw_only=True)
class ScheduleInfo:
    fields: Mapping[str, FieldLimit]
    #: What a recipe has when it does not say.
    defaults: Fields
    #: What `{}` searches.
    ranges: Mapping[str, Domain]
    #: Why linear warm-up may not come before it, if so.
    no_warmup: str | None = None
    #: The flag field that makes it drive the optimizer's momentum, if it has one.
    momentum_flag: str | None = None
    #: Whether it takes the validation loss, and so has no sequence before the run.
    needs_metric: bool = False
    #: Fields that a recipe has from its study, and no space.
    of_study: frozenset[str] = frozenset()
    #: Fields whose fractions share the horizon, with how many times each takes its own; together
    #: they are at most 1.
    shares: Mapping[str, float] = field(default_factory=dict)
    #: What `{}` means where a function of the study's own says it, as a study file writes it.
    written: Fields = field(default_factory=dict)
    #: Whether it is a function of the study's own that is not loaded here.
    unseen: bool = False


SCHEDULES: dict[str, ScheduleInfo] = {
    "constant": ScheduleInfo(fields={}, defaults={}, ranges={}),
    "step": ScheduleInfo(
        fields={"step_size": FRACTION, "gamma": OPEN_FACTOR},
        defaults={"step_size": 1 / 3, "gamma": 0.1},
        ranges={
            "step_size": Range(low=0.15, high=0.5),  # two to six cuts [LR]
            "gamma": Choice(choices=(0.1, 0.3, 0.5)),  # torch's default and milder [K]
        },
    ),
    "multistep": ScheduleInfo(
        fields={"milestones": Fractions(), "gamma": OPEN_FACTOR},
        defaults={"milestones": (0.5, 0.75), "gamma": 0.1},
        ranges={
            # ResNet's 50/75 % (He et al. 2016), Wide-ResNet's 30/60/80 % (Zagoruyko 2016).
            "milestones": Choice(choices=((0.5, 0.75), (0.3, 0.6, 0.8))),
            "gamma": Choice(choices=(0.1, 0.3)),
        },
    ),
    "exponential": ScheduleInfo(
        fields={"final": OPEN_FACTOR},
        defaults={"final": 1e-2},
        ranges={"final": Range(low=1e-3, high=0.3, log=True)},  # [AP] end factors 1e-3, 1e-2
    ),
    "cosine": ScheduleInfo(
        fields={"eta_min": FACTOR},
        defaults={"eta_min": 0.0},
        ranges={"eta_min": Fixed(value=0.0)},  # decay to 0 [TP]
    ),
    "cosine_restarts": ScheduleInfo(
        fields={
            "T_0": FRACTION,
            "T_mult": Limit(low=1, high=10, high_open=False, integer=True),
            "eta_min": FACTOR,
        },
        defaults={"T_0": 0.25, "T_mult": 1, "eta_min": 0.0},
        ranges={
            "T_0": Choice(choices=(0.25, 0.5)),  # four and two equal cycles [K]
            "T_mult": Fixed(value=1),
            "eta_min": Fixed(value=0.0),
        },
    ),
    "linear": ScheduleInfo(
        fields={"end_factor": FACTOR},
        defaults={"end_factor": 0.0},
        ranges={"end_factor": Fixed(value=0.0)},  # decay to 0 [TP]
    ),
    "polynomial": ScheduleInfo(
        fields={"power": POSITIVE},
        defaults={"power": 1.0},
        ranges={"power": Range(low=0.5, high=2.0, log=True)},  # [PD1] 0.1..2, its flat end cut
    ),
    "plateau": ScheduleInfo(
        fields={
            "factor": OPEN_FACTOR,
            "patience": FACTOR,
            # What it follows. The default is the loss: it falls a little where a model still
            # learns, while an accuracy of few samples stands still or jumps, and looks like a
            # plateau. So a metric is to be asked for, where loss and metric part.
            "metric": Word(words=("val_loss", "objective")),
            # Whether the objective is better the lower or the higher; the study says it.
            "mode": Word(words=("min", "max")),
        },
        defaults={"factor": 0.1, "patience": 0.1, "metric": "val_loss", "mode": "min"},
        ranges={
            "factor": Range(low=0.1, high=0.7, log=True),  # [K]
            "patience": Range(low=0.02, high=0.1),  # [K]
        },
        no_warmup="torch's SequentialLR refuses ReduceLROnPlateau",
        needs_metric=True,
        of_study=frozenset({"mode"}),
    ),
    "cyclic": ScheduleInfo(
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
        no_warmup="its constructor sets lr, and would corrupt the warm-up's",
        shares={"step_size_up": 2.0},  # up and down again
    ),
    "one_cycle": ScheduleInfo(
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
        no_warmup="it warms up by itself",
        momentum_flag="cycle_momentum",
    ),
    "wsd": ScheduleInfo(
        fields={"decay": FRACTION, "shape": Word(words=("1-sqrt", "linear", "cosine"))},
        defaults={"decay": 0.2, "shape": "1-sqrt"},
        ranges={
            "decay": Range(low=0.1, high=0.3),  # Haegele et al. 2024: 20 % is as good as cosine
            "shape": Choice(choices=("1-sqrt", "linear")),  # same source
        },
    ),
    "rex": ScheduleInfo(
        fields={"beta": Limit(low_open=True, high=10.0, high_open=False)},
        defaults={"beta": 0.5},
        ranges={"beta": Range(low=0.1, high=1.5)},  # Chen et al. 2021: .5; 1 is linear
    ),
    "inverse_sqrt": ScheduleInfo(
        fields={"timescale": POSITIVE},
        defaults={"timescale": 0.1},
        ranges={"timescale": Range(low=1e-2, high=0.3, log=True)},  # [K]
    ),
}
