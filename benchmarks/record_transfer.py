"""Record tables of runs over horizons, learning rates and seeds, for `transfer.py` to replay.

Each table is a task and an optimizer: final, lowest and training loss of every horizon, schedule,
learning rate and seed. All runs of one horizon and schedule are trained as one cohort. A table that
is there already is left alone, and one that was interrupted goes on after its last cohort.
Run it: python benchmarks/record_transfer.py
"""

import argparse
import math
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from transfer_methods import HORIZONS, SCHEDULES

from lrsearch import Recipe, StudySpec
from lrsearch.task.find import load_task
from lrsearch.training.fused.cohort import Cohort
from lrsearch.training.task_cache import TaskCache

HERE = Path(__file__).resolve().parent
TABLES = HERE / "data" / "transfer" / "held_out"
#: What a run's schedule is; cosine warms up over 5 % of it.
RECIPES: dict[str, dict[str, Any]] = {
    "linear": {"schedule": {"name": "linear"}},
    "cosine": {"schedule": {"name": "cosine"}, "warmup": 0.05},
    "wsd": {"schedule": {"name": "wsd", "decay": 0.2}},
}
OPTIMIZERS: dict[str, dict[str, Any]] = {
    "adamw": {"name": "adamw", "weight_decay": 0.01},
    "sgd": {"name": "sgd", "momentum": 0.9},
}
#: Factor between neighbouring learning rates, and how many there are: three decades.
FACTOR, LRS = 1.5, 18
#: A run is validated at most so often, evenly.
VALIDATIONS = 8
#: More steps than any run has.
TO_THE_END = 10**9


@dataclass(frozen=True, kw_only=True)
class Grid:
    """What is trained of a task."""

    #: Optimizer steps of a unit of the horizon.
    steps: int
    #: The least learning rate, by optimizer.
    lowest: Mapping[str, float]


GRIDS = {
    "noisy": Grid(steps=8, lowest={"adamw": 1e-4, "sgd": 1e-3}),
    "wine": Grid(steps=8, lowest={"adamw": 1e-4, "sgd": 1e-3}),
    "friedman": Grid(steps=8, lowest={"adamw": 1e-4, "sgd": 3e-4}),
    "resnet": Grid(steps=8, lowest={"adamw": 1e-4, "sgd": 1e-3}),
    "lstm": Grid(steps=8, lowest={"adamw": 2e-4, "sgd": 5e-3}),
}


def table_of(task: str, optimizer: str, seeds: int, file: Path) -> None:
    """Train what is missing of a table. `file` has NaN where nothing was trained to its end."""
    grid, part = GRIDS[task], file.with_suffix(".part")
    lrs = grid.lowest[optimizer] * FACTOR ** np.arange(LRS)
    shape = (len(HORIZONS), len(SCHEDULES), LRS, seeds)
    found = {name: np.full(shape, np.nan, np.float32) for name in ("last", "best", "train")}
    done = np.zeros(shape[:2], bool)
    if part.exists():
        kept = np.load(part)
        done, found = kept["done"], {name: kept[name] for name in found}
    cache = TaskCache(load_task(f"transfer_tasks.py:{task}", HERE), torch.device("cpu"))
    for h, horizon in enumerate(HORIZONS):
        for s, schedule in enumerate(SCHEDULES):
            if done[h, s]:
                continue
            started = time.process_time()
            rows = cohort_of(cache, optimizer, schedule, horizon * grid.steps, lrs, seeds)
            for name, values in rows.items():
                found[name][h, s] = values
            done[h, s] = True
            save(part, done=done, **found)
            took = time.process_time() - started
            print(f"{file.stem} {schedule} {horizon}: {took:.1f} s", file=sys.stderr, flush=True)
    save(file, lrs=lrs, **found)
    part.unlink()


def save(file: Path, **arrays: np.ndarray) -> None:
    """Write a table whole, or not at all."""
    new = file.with_suffix(".new")
    with new.open("wb") as stream:
        np.savez_compressed(stream, **arrays)
    new.replace(file)


def cohort_of(
    cache: TaskCache, optimizer: str, schedule: str, steps: int, lrs: np.ndarray, seeds: int
) -> dict[str, np.ndarray]:
    """Losses [learning rates, seeds] of all runs of a horizon; NaN of a run that diverged."""
    spec = StudySpec.from_dict(
        {
            "name": "transfer",
            "task": cache.loaded.reference,
            "steps": steps,
            "budget": {"trials": len(lrs) * seeds},
            "validate_every": {"steps": math.ceil(steps / VALIDATIONS)},
            "pruning": "none",
        }
    )
    recipes = [
        Recipe.from_dict(
            {
                **RECIPES[schedule],
                "optimizer": {**OPTIMIZERS[optimizer], "lr": float(lr)},
                "steps": steps,
                "seed": seed,
            }
        )
        for lr in lrs
        for seed in range(seeds)
    ]
    curves = train(Cohort(spec, cache, recipes[0], len(recipes)), recipes)
    table = np.array(curves, np.float32).reshape(len(lrs), seeds, 3)
    return {name: table[..., i] for i, name in enumerate(("last", "best", "train"))}


def train(engine: Cohort, recipes: list[Recipe]) -> list[tuple[float, float, float]]:
    """Final and lowest validation loss and last training loss of each; NaN if it diverged."""
    trainings = [engine.admit(recipe) for recipe in recipes]
    rows: dict[int, list[tuple[float, float]]] = {id(each): [] for each in trainings}
    lost = (math.nan, math.nan, math.nan)
    while engine.trainings:
        engine.advance(TO_THE_END)
        for training in engine.trainings:
            if training.diverged:
                engine.drop(training)
        due = engine.due()
        for training, row in zip(due, engine.validate(due, with_ema=lambda _: False), strict=True):
            if training.diverged:
                engine.drop(training)
                continue
            rows[id(training)].append((row.val_loss, row.train_loss))
            if training.done:
                engine.drop(training)
    return [
        lost
        if each.diverged
        else (rows[id(each)][-1][0], min(v for v, _ in rows[id(each)]), rows[id(each)][-1][1])
        for each in trainings
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=TABLES, help="folder of the tables")
    parser.add_argument("--seeds", type=int, default=3, help="of each learning rate (3)")
    parser.add_argument("--task", action="append", choices=GRIDS, help="repeatable; default: all")
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.out.mkdir(parents=True, exist_ok=True)
    for task in options.task or GRIDS:
        for optimizer in OPTIMIZERS:
            file = options.out / f"{task}_{optimizer}.npz"
            if not file.exists():
                table_of(task, optimizer, options.seeds, file)


if __name__ == "__main__":
    main()
