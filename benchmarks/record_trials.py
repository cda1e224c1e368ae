"""Record random trials of a small MLP on Fashion-MNIST, for benchmarks that replay them.

Recipes are drawn without regard to any result, so that the best of them show where good learning
rates lie. Writes benchmarks/data/fashion_mnist_mlp.jsonl.gz, one trial a line; the recorded file
was made with the defaults, on one core, in about five minutes.
Run it: python benchmarks/record_trials.py
"""

import argparse
import gzip
import json
import math
import os
import random
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

import lrsearch
from lrsearch import Recipe
from lrsearch.training.data import make_splits
from lrsearch.training.solo import SoloTraining
from lrsearch.trial.validations import make_plan

RECORDS = Path(__file__).resolve().parent / "data" / "fashion_mnist_mlp.jsonl.gz"
STUDIES = Path(__file__).resolve().parents[1] / "studies"
TRAIN_IMAGES, VALIDATION_IMAGES = 6_000, 3_000
EPOCHS = 8
#: Draws and initial weights.
SEED = 0
CPU = torch.device("cpu")


def make_model() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 64), nn.ReLU(), nn.Linear(64, 10))


def error(output: Tensor, target: Tensor) -> Tensor:
    return (output.argmax(dim=1) != target).float().mean()


def fashion_mnist() -> lrsearch.Task:
    """The first images of Fashion-MNIST's training set in the order of studies/fashion_mnist.py."""
    sys.path.insert(0, str(STUDIES))
    from fashion_mnist import read_split

    images, classes = read_split("train")
    order = torch.randperm(len(classes), generator=torch.Generator().manual_seed(0))
    train, rest = order[:TRAIN_IMAGES], order[TRAIN_IMAGES:]
    validation = rest[:VALIDATION_IMAGES]
    return lrsearch.Task(
        model=make_model,
        train=(images[train], classes[train]),
        validation=(images[validation], classes[validation]),
        loss=cross_entropy,
        metrics={"error": error},
        batch_size=64,
    )


def draw_optimizer(name: str, draw: random.Random) -> dict[str, Any]:
    """Learning rates over four decades and more, in torch's own units."""

    def log_uniform(low: float, high: float) -> float:
        return math.exp(draw.uniform(math.log(low), math.log(high)))

    if name == "sgd":
        return {
            "name": "sgd",
            "lr": log_uniform(1e-4, 3.0),
            "momentum": 1 - log_uniform(1e-2, 1.0),
            "weight_decay": log_uniform(1e-6, 1e-2),
        }
    return {
        "name": "adamw",
        "lr": log_uniform(1e-5, 1e-1),
        "betas": [1 - log_uniform(1e-2, 0.3), 0.99],
        "weight_decay": log_uniform(1e-4, 1.0),
    }


def draw_schedule(draw: random.Random) -> dict[str, Any]:
    """One of nine schedules and the fraction of the run that it warms up."""
    schedules: list[dict[str, Any]] = [
        {"name": "constant"},
        {"name": "step", "step_size": draw.uniform(0.1, 0.5), "gamma": draw.uniform(0.1, 0.8)},
        {"name": "multistep", "milestones": [0.5, 0.75], "gamma": draw.uniform(0.05, 0.5)},
        {"name": "exponential", "final": math.exp(draw.uniform(math.log(1e-3), math.log(0.5)))},
        {"name": "cosine"},
        {"name": "linear"},
        {"name": "one_cycle", "pct_start": draw.uniform(0.05, 0.5)},
        {"name": "plateau", "factor": draw.uniform(0.1, 0.7), "patience": 0.125},
        {"name": "cyclic", "step_size_up": draw.uniform(0.08, 0.25)},
    ]
    return draw.choice(schedules)


def train(task: lrsearch.Task, recipe: Recipe) -> Mapping[str, float | None]:
    """Final validation loss and error; None for both if the trial diverged."""
    splits = make_splits(task, task.batch_size, CPU)
    steps_per_epoch = splits[0].batches
    plan = make_plan(
        steps_per_epoch=steps_per_epoch, total_steps=recipe.total_steps(steps_per_epoch)
    )
    training = SoloTraining(task, recipe, plan, splits, CPU)
    row = None
    while not training.done:
        training.advance(training.next_validation)
        if training.diverged is None:
            row = training.validate(with_ema=False)
    if row is None or training.diverged is not None:
        return {"val_loss": None, "val_error": None}
    return {"val_loss": round(row.val_loss, 5), "val_error": round(row.metrics["error"], 5)}


def record(count: int, epochs: int) -> list[dict[str, Any]]:
    """`count` trials each of SGD and AdamW, in turn."""
    task, draw, rows = fashion_mnist(), random.Random(SEED), []
    for number in range(count):
        for name in ("sgd", "adamw"):
            optimizer, schedule = draw_optimizer(name, draw), draw_schedule(draw)
            warms_up = schedule["name"] not in ("one_cycle", "plateau", "cyclic")
            recipe = Recipe.from_dict(
                {
                    "optimizer": optimizer,
                    "schedule": schedule,
                    "warmup": draw.choice([0.0, 0.05, 0.1]) if warms_up else 0.0,
                    "epochs": epochs,
                    "seed": SEED,
                }
            )
            momentum = optimizer["momentum"] if name == "sgd" else optimizer["betas"][0]
            rows.append(
                {
                    "opt": name,
                    "lr": float(f"{optimizer['lr']:.4g}"),
                    "one_minus_mom": float(f"{1 - momentum:.4g}"),
                    "sched": schedule["name"],
                    **train(task, recipe),
                }
            )
        print(f"{number + 1} of {count}", rows[-1], file=sys.stderr)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--trials", type=int, default=400, help="of each optimizer (400)")
    parser.add_argument("--epochs", type=int, default=EPOCHS, help="of each trial (8)")
    parser.add_argument("--out", type=Path, default=RECORDS, help="the file to write")
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = record(options.trials, options.epochs)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(row) + "\n" for row in rows)
    options.out.write_bytes(gzip.compress(text.encode(), mtime=0))


if __name__ == "__main__":
    main()
