"""What it costs the search to compare trials on a part of the validation set at early rungs.

Random recipes are trained for one epoch, drawn as record_trials.py does: on 6,000 images of
Fashion-MNIST (mlp, cnn), or on the smallest sets of zoo.py, whose epochs are 16 to 44 steps. At the
rungs, which no epoch ends near, and at the end every sample's loss is kept. So any part of the
validation set can be compared with the whole: how far the ranks agree, whether the best pass, and
what a planned search of 10 and of 20 runs comes to, on the same orders of the same runs.
Run it: python benchmarks/rung_samples.py
"""

import argparse
import json
import math
import os
import random
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
import zoo
from record_trials import CPU, SEED, draw_optimizer, draw_schedule
from replay_plan import Search
from replay_rules import PRUNING, halving
from replay_scores import at, regrets
from replay_table import Run, Table
from scipy.stats import spearmanr
from torch import nn
from torch.nn.functional import cross_entropy

import lrsearch
from lrsearch import Recipe
from lrsearch.task.find import load_task
from lrsearch.training.data import make_splits
from lrsearch.training.data.parts import places
from lrsearch.training.solo import SoloTraining
from lrsearch.trial.halving import make_stages
from lrsearch.trial.validations import make_plan

SIZES = (25, 50, 100, 200, 500)
#: Share of the runs with the least final loss that is looked for among those that pass.
BEST = 0.1


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """A run."""

    family: str
    #: Of each validation sample at the rungs and the end [R + 1, M]; none where it diverged.
    losses: np.ndarray | None


def mlp() -> lrsearch.Task:
    """784-64-10 on 6,000 images, validated on 2,000."""

    def model() -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Linear(784, 64), nn.ReLU(), nn.Linear(64, 10))

    return zoo.classification(model, zoo.fashion(6000, 2000), batch_size=64)


def digits() -> lrsearch.Task:
    """That of studies/digits.py: 44 steps an epoch, validated on 360 digits."""
    return load_task("digits.py:task", zoo.STUDIES).make()


TASKS: dict[str, Callable[[], lrsearch.Task]] = {
    "mlp": mlp,
    "cnn": zoo.cnn_6000,
    "digits": digits,
    "unused_parameter": zoo.unused_parameter,
    "resnet8": zoo.resnet8,
    "tied_weights": zoo.tied_weights,
    "tiny_gpt": zoo.tiny_gpt,
}


def record(
    task: lrsearch.Task, count: int, epochs: int = 1
) -> tuple[list[Recorded], Sequence[int]]:
    """Runs, and the steps at which they are compared, the end last."""
    splits, draw = make_splits(task, task.batch_size, CPU), random.Random(SEED)
    total = splits[0].batches * epochs
    plan = make_plan(
        steps_per_epoch=total, total_steps=total, validate_rungs=True, rungs=PRUNING.rungs
    )
    plan = replace(plan, steps_per_epoch=splits[0].batches)
    runs = []
    for number in range(count):
        schedule = draw_schedule(draw)
        fields = {
            "optimizer": draw_optimizer(("sgd", "adamw")[number % 2], draw),
            "schedule": schedule,
            "epochs": epochs,
            "seed": SEED,
        }
        training = SoloTraining(task, Recipe.from_dict(fields), plan, splits, CPU)
        runs.append(Recorded(family=schedule["name"], losses=train(training, task)))
        if number % 50 == 49:
            print(f"{number + 1} of {count} recipes", file=sys.stderr)
    return runs, plan.validations


def train(training: SoloTraining, task: lrsearch.Task) -> np.ndarray | None:
    """Every sample's loss at each validation; None of a run that diverges."""
    inputs, targets = task.validation
    rows = []
    while not training.done:
        training.advance(training.next_validation)
        if training.diverged is not None:
            return None
        with torch.no_grad():
            outputs = training.model.eval()(inputs)
            losses = cross_entropy(outputs, targets, reduction="none")
            rows.append(losses.reshape(len(targets), -1).mean(1).numpy())
        training.validated += 1
    found = np.stack(rows)
    return found if np.isfinite(found).all() else None


def replayed(runs: Sequence[Recorded], steps: Sequence[int], index: np.ndarray) -> Table:
    """The runs as replay.py has them, compared on these samples; a step stands for an epoch."""
    table = []
    for run in runs:
        value, signal = math.inf, [math.inf] * steps[-1]
        if run.losses is not None:
            value = float(run.losses[-1].mean())
            for step, losses in zip(steps, run.losses, strict=True):
                signal[step - 1] = float(losses[index].mean())
        table.append(
            Run(
                family=run.family,
                horizon=steps[-1],
                signal=tuple(signal),
                raw=tuple(signal),
                epochs=steps[0] if run.losses is None else steps[-1],
                value=value,
            )
        )
    return Table(runs=table, signal="val_loss", target="val_loss", has_twin=False)


def agreement(runs: Sequence[Recorded], index: np.ndarray) -> dict[str, list[float]]:
    """At each rung the rank correlation with the whole set, of all and of the better half, and the
    share of the finally best among the better third.
    """
    losses = np.stack([run.losses for run in runs if run.losses is not None])
    whole, part = losses.mean(axis=2), losses[:, :, index].mean(axis=2)
    best = whole[:, -1] <= np.quantile(whole[:, -1], BEST)
    found: dict[str, list[float]] = {"ranks": [], "better_half": [], "recall": []}
    for rung in range(whole.shape[1] - 1):
        better = whole[:, rung] <= np.median(whole[:, rung])
        pairs = whole[:, rung], part[:, rung]
        found["ranks"].append(float(spearmanr(*pairs).statistic))
        found["better_half"].append(float(spearmanr(*(p[better] for p in pairs)).statistic))
        passed = part[:, rung] <= np.quantile(part[:, rung], 1 / PRUNING.eta)
        found["recall"].append(float(passed[best].mean()))
    return found


def regret(table: Table, steps: Sequence[int], orders: int, seed: int) -> np.ndarray:
    """Above the best run's loss, of planned searches of 10 and 20 runs, and the asynchronous rule
    with 20 [O, 3].
    """
    rows = []
    plans = [make_stages(float(budget * steps[-1]), steps) for budget in (10, 20)]
    for number in range(orders):
        order = np.random.default_rng([seed, number]).permutation(len(table.runs))
        runs = [table.runs[i] for i in order]
        ended = (Search(runs, stages, lambda _: steps).carry_out() for stages in plans)
        planned = [regrets(table, each)[-1] for each in ended]
        rows.append([*planned, regrets(table, halving(runs))[at(20)]])
    return np.array(rows)


def measure(name: str, options: argparse.Namespace) -> dict[str, Any]:
    task = TASKS[name]()
    runs, steps = record(task, options.runs)
    targets = task.validation[1]
    count = len(targets)
    classes = targets if targets.ndim == 1 else None
    base = regret(replayed(runs, steps, np.arange(count)), steps, options.orders, 0)
    rows: dict[int, dict[str, Any]] = {}
    for size in (*sorted(size for size in set(options.sizes) if size < count), count):
        draws = [
            places(count, size, classes, seed=seed).numpy()
            for seed in range(1 if size == count else options.draws)
        ]
        agreed = [agreement(runs, index) for index in draws]
        lost = [
            (regret(replayed(runs, steps, index), steps, options.orders, 0) - base).mean(axis=0)
            for index in draws
        ]
        rows[size] = {
            **{key: np.mean([each[key] for each in agreed], axis=0).tolist() for key in agreed[0]},
            "lost": np.mean(lost, axis=0).tolist(),
            "spread": np.std(lost, axis=0).tolist(),
        }
    return {
        "task": name,
        "runs": len(runs),
        "diverged": sum(run.losses is None for run in runs),
        "steps": list(steps),
        "regret": base.mean(axis=0).tolist(),
        "standard_error": (base.std(axis=0) / math.sqrt(len(base))).tolist(),
        "orders": options.orders,
        "draws": options.draws,
        "sizes": rows,
    }


def text(result: dict[str, Any]) -> str:
    regrets_ = (
        f"{mean:.4f} +- {error:.4f}"
        for mean, error in zip(result["regret"], result["standard_error"], strict=True)
    )
    lines = [
        f"{result['task']}: {result['runs']} runs of one epoch, {result['diverged']} diverged; "
        f"compared at steps {', '.join(map(str, result['steps'][:-1]))} of {result['steps'][-1]}",
        f"regret on the whole set, planned 10 and 20 runs, asynchronous 20: {', '.join(regrets_)}",
        f"below: {result['draws']} parts of each size; mean +- their standard deviation of what "
        f"{result['orders']} orders lose, paired",
        f"{'samples':>8}{'ranks':>18}{'better half':>18}{'recall':>18}"
        f"{'lost, planned 10':>20}{'planned 20':>20}{'asynchronous 20':>20}",
    ]
    for size, row in result["sizes"].items():
        cells = [
            "/".join(f"{x:.2f}" for x in row[key]) for key in ("ranks", "better_half", "recall")
        ]
        lost = [f"{x:+.4f} +- {s:.4f}" for x, s in zip(row["lost"], row["spread"], strict=True)]
        told = "".join(f"{cell:>18}" for cell in cells) + "".join(f"{cell:>20}" for cell in lost)
        lines.append(f"{size:8}{told}")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--task", choices=TASKS, default="mlp", help="what is trained (mlp)")
    parser.add_argument("--runs", type=int, default=300, help="recipes (300)")
    parser.add_argument("--orders", type=int, default=100, help="orders of the runs (100)")
    parser.add_argument("--draws", type=int, default=8, help="parts of each size (8)")
    parser.add_argument(
        "--sizes", type=int, nargs="+", default=SIZES, metavar="N", help="samples of the parts"
    )
    parser.add_argument("--json", action="store_true", help="one JSON document instead of a table")
    options = parser.parse_args()
    if min(options.sizes) < 1:
        parser.exit(2, f"Error: --sizes {min(options.sizes)}: at least 1 is needed\n")
    for name in ("runs", "orders", "draws"):
        if getattr(options, name) < 1:
            parser.exit(2, f"Error: --{name} {getattr(options, name)}: at least 1 is needed\n")
    torch.set_num_threads(1)
    result = measure(options.task, options)
    print(json.dumps(result, indent=2) if options.json else text(result))


if __name__ == "__main__":
    main()
