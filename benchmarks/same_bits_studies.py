"""What same_bits.py trains: twenty recipes in two studies, and a search on digits."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
TASK = HERE / "same_bits_task.py"
DIGITS = HERE.parent / "studies" / "digits.py"

#: Every optimizer and every schedule; those of one class are neighbours, as cohorts step them
#: together.
RECIPES: tuple[Mapping[str, Any], ...] = (
    {
        "optimizer": {"name": "sgd", "lr": 0.05, "momentum": 0.9, "nesterov": True},
        "schedule": {"name": "cosine"},
        "warmup": 0.1,
    },
    {
        "optimizer": {"name": "sgd", "lr": 0.1, "momentum": 0.8, "weight_decay": 0.001},
        "schedule": {"name": "one_cycle", "cycle_momentum": True},
    },
    {"optimizer": {"name": "sgd", "lr": 0.2, "fused": False}, "schedule": {"name": "constant"}},
    {
        "optimizer": {"name": "adam", "lr": 0.02, "weight_decay": 0.001},
        "schedule": {"name": "plateau", "factor": 0.5, "patience": 0.0},
    },
    {
        "optimizer": {"name": "adam", "lr": 0.01, "amsgrad": True},
        "schedule": {"name": "exponential", "final": 0.05},
        "warmup": 0.05,
    },
    {
        "optimizer": {"name": "adamw", "lr": 0.01, "weight_decay": 0.1},
        "schedule": {"name": "wsd", "decay": 0.3},
        "warmup": 0.1,
    },
    {
        "optimizer": {"name": "adamw", "lr": 0.02, "betas": [0.8, 0.99], "fused": False},
        "schedule": {"name": "one_cycle"},
    },
    {
        "optimizer": {
            "name": "adamw",
            "lr": 0.005,
            "weight_decay": 0.2,
            "weight_decay_exclude_1d": True,
        },
        "schedule": {"name": "cosine"},
    },
    {
        "optimizer": {
            "name": "nadam",
            "lr": 0.01,
            "weight_decay": 0.05,
            "decoupled_weight_decay": True,
        },
        "schedule": {"name": "linear"},
        "warmup": 0.1,
    },
    {"optimizer": {"name": "radam", "lr": 0.02}, "schedule": {"name": "polynomial", "power": 1.5}},
    {
        "optimizer": {"name": "adamax", "lr": 0.02},
        "schedule": {"name": "multistep", "milestones": [0.3, 0.6, 0.8], "gamma": 0.3},
    },
    {
        "optimizer": {"name": "adagrad", "lr": 0.05},
        "schedule": {"name": "inverse_sqrt", "timescale": 0.1},
        "warmup": 0.05,
    },
    {"optimizer": {"name": "adadelta", "lr": 1.0}, "schedule": {"name": "rex", "beta": 0.5}},
    {
        "optimizer": {"name": "rmsprop", "lr": 0.002, "momentum": 0.9, "centered": True},
        "schedule": {"name": "step", "step_size": 0.3, "gamma": 0.5},
    },
    {
        "optimizer": {"name": "rmsprop", "lr": 0.005, "alpha": 0.9},
        "schedule": {"name": "cyclic", "base_factor": 0.1, "step_size_up": 0.125},
    },
    {
        "optimizer": {"name": "adafactor", "lr": 0.05, "weight_decay": 0.01},
        "schedule": {"name": "cosine_restarts", "T_0": 0.25, "T_mult": 2},
    },
    {"optimizer": {"name": "asgd", "lr": 0.1}, "schedule": {"name": "linear"}, "warmup": 0.05},
    {"optimizer": {"name": "rprop", "lr": 0.001}, "schedule": {"name": "constant"}},
    {
        "optimizer": {"name": "muon", "lr": 0.02, "weight_decay": 0.05},
        "schedule": {"name": "cosine"},
        "warmup": 0.1,
    },
    {
        "optimizer": {"name": "muon", "lr": 0.01, "momentum": 0.9, "adamw_lr_factor": 0.5},
        "schedule": {"name": "plateau", "factor": 0.3, "patience": 0.1},
    },
)

#: Nothing but the recipes; ten validations, of which some fall inside of an epoch.
_ALONE = {
    "epochs": 4,
    "budget": {"trials": len(RECIPES)},
    "validate_every": {"fraction": 0.1},
    "confirm": "none",
    "pruning": "none",
    "range_test": "none",
    "textbook": "none",  # the earlier name of portfolio, which older installs know
    "enqueue": RECIPES,
}


@dataclass(frozen=True, kw_only=True)
class Study:
    name: str
    #: Its file, without the name and the task.
    fields: Mapping[str, Any]
    #: Validations of each trial, and losses in training; 0 where trials are pruned.
    validations: int = 0
    losses: int = 0

    @property
    def trials(self) -> int:
        return int(self.fields["budget"]["trials"])

    def write(self, folder: Path, name: str) -> Path:
        """The study's file under another name, with the task's files beside it."""
        for file in (TASK, DIGITS):
            shutil.copy(file, folder)
        content = {"name": name, "task": f"{TASK.name}:{self.name}", **self.fields}
        path = folder / f"{name}.yaml"
        path.write_text(json.dumps(content, indent=1), encoding="utf-8")  # YAML as well
        return path


PLAIN = Study(name="plain", fields={**_ALONE, "ema": {"epochs": 1.0}}, validations=10, losses=192)
#: The averaged weights are those that are looked at; the plain ones decide about them.
NOISY = Study(
    name="noisy",
    fields={
        **_ALONE,
        "clip_norm": 0.5,
        "accumulate": 2,
        "ema": {"epochs": 0.5, "deploy": True},
        "seed": 7,
    },
    validations=10,
    losses=192,
)
#: As it comes, but for its length: range test, portfolio, sampler and pruning decide.
SEARCH = Study(
    name="digits", fields={"epochs": 10, "budget": {"trials": 60}, "confirm": "none", "seed": 0}
)
