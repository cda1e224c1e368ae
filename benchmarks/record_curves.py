"""Record whole curves of random trials on Fashion-MNIST, for benchmarks that replay them.

Each trial is validated after every epoch, raw and averaged weights, and scored on a test set then.
Writes benchmarks/data/fashion_mnist_curves.jsonl.gz, one trial a line; the recorded file was made
with the defaults, on one core, in about five minutes. Recipes are drawn as record_trials.py does.
Run it: python benchmarks/record_curves.py
"""

import argparse
import gzip
import json
import os
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from record_trials import CPU, SEED, STUDIES, draw_optimizer, draw_schedule, error
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

import lrsearch
from lrsearch import Recipe
from lrsearch.spec.parts import CALIBRATED
from lrsearch.training.calibrated_loss import CalibratedLoss
from lrsearch.training.data import make_splits
from lrsearch.training.solo import SoloTraining
from lrsearch.trial.validations import make_plan

CURVES = Path(__file__).resolve().parent / "data" / "fashion_mnist_curves.jsonl.gz"
TRAIN_IMAGES, VALIDATION_IMAGES, TEST_IMAGES = 2_000, 2_000, 5_000
EPOCHS = 20


def make_model() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 96), nn.ReLU(), nn.Linear(96, 10))


def fashion_mnist() -> lrsearch.Task:
    """The first images in the order of studies/fashion_mnist.py, and of its test set."""
    sys.path.insert(0, str(STUDIES))
    from fashion_mnist import load_test_data, read_split

    images, classes = read_split("train")
    order = torch.randperm(len(classes), generator=torch.Generator().manual_seed(0))
    first, rest = order[:TRAIN_IMAGES], order[TRAIN_IMAGES:]
    second = rest[:VALIDATION_IMAGES]
    return lrsearch.Task(
        model=make_model,
        train=(images[first], classes[first]),
        validation=(images[second], classes[second]),
        test=tuple(tensor[:TEST_IMAGES] for tensor in load_test_data()),
        loss=cross_entropy,
        metrics={"error": error, CALIBRATED: CalibratedLoss()},
        batch_size=64,
    )


def curves(task: lrsearch.Task, recipe: Recipe) -> dict[str, list[float | None]]:
    """Signal to its value after each epoch; None from where the trial diverged."""
    splits = make_splits(task, task.batch_size, CPU)
    steps = splits[0].batches
    plan = make_plan(steps_per_epoch=steps, total_steps=recipe.total_steps(steps))
    training = SoloTraining(task, recipe, plan, splits, CPU)
    found: list[dict[str, float]] = []
    while not training.done:
        training.advance(training.next_validation)
        if training.diverged is None:
            found.append(point(training, task.test))
    missing = [None] * (len(plan.validations) - len(found))
    names = found[0] if found else ()
    return {name: [*(each[name] for each in found), *missing] for name in names}


def point(training: SoloTraining, test: tuple[Tensor, Tensor]) -> dict[str, float]:
    """Every signal of the raw and the averaged weights as they are now; a validation."""
    assert training.ema is not None
    row = training.validate(with_ema=True)
    assert row.val_loss_ema is not None
    assert row.metrics_ema is not None
    signals = {}
    for suffix, loss, metrics, weights in (
        ("", row.val_loss, row.metrics, {}),
        ("_ema", row.val_loss_ema, row.metrics_ema, training.ema.weights()),
    ):
        with torch.no_grad():
            output = torch.func.functional_call(training.model.eval(), weights, test[0])
        signals |= {
            f"val_loss{suffix}": loss,
            f"val_error{suffix}": metrics["error"],
            f"calibrated_loss{suffix}": metrics[CALIBRATED],
            f"test_error{suffix}": float(error(output, test[1])),
        }
    return {name: round(value, 5) for name, value in signals.items()}


def record(count: int, epochs: int) -> Iterator[dict[str, Any]]:
    """`count` trials, of SGD and AdamW in turn."""
    task, draw = fashion_mnist(), random.Random(SEED)
    for number in range(count):
        name = ("sgd", "adamw")[number % 2]
        optimizer, schedule = draw_optimizer(name, draw), draw_schedule(draw)
        warms_up = schedule["name"] not in ("one_cycle", "plateau", "cyclic")
        config = {
            "optimizer": optimizer,
            "schedule": schedule,
            "warmup": draw.choice([0.0, 0.05, 0.1]) if warms_up else 0.0,
        }
        fields = {**config, "epochs": epochs, "seed": SEED, "ema": {"epochs": 1.0}}
        row = {"id": number, "family": schedule["name"], "horizon": epochs, "config": config}
        yield {**row, "curves": curves(task, Recipe.from_dict(fields))}
        print(f"{number + 1} of {count}", file=sys.stderr)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__.partition("\n")[0],
        epilog="example: python benchmarks/record_curves.py --trials 20 --out curves.jsonl.gz",
    )
    parser.add_argument("--trials", type=int, default=150, help="how many (150)")
    parser.add_argument("--epochs", type=int, default=EPOCHS, help="of each trial (20)")
    parser.add_argument("--out", type=Path, default=CURVES, help="the file to write")
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    with gzip.GzipFile(options.out, "wb", mtime=0) as file:
        for row in record(options.trials, options.epochs):
            file.write(json.dumps(row).encode() + b"\n")
            file.flush()


if __name__ == "__main__":
    main()
