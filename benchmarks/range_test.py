"""Does the window of the LR range test hold the learning rates that are best in the end?

Beside recorded random trials of SGD and AdamW: the share of the best twentieth, by final validation
loss and by error, whose lr lies inside the window, and the share of all trials that do. The range
test is the product's own, on the model and data that the trials were recorded with. Beside it the
rule that it replaced: a decade and a half about the geometric mean of min/10 and valley.

Then the ramps themselves, old and new, on eleven tasks (range_ramps.py).

Run it: python benchmarks/range_test.py --digits digits_mlp.jsonl.gz
"""

import argparse
import gzip
import json
import math
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import range_ramps
import torch
from record_trials import RECORDS, error, fashion_mnist
from torch import nn
from torch.nn.functional import cross_entropy

import lrsearch
from lrsearch import StudySpec
from lrsearch.range_test.analysis import SEED_COUNTS, RangeTest
from lrsearch.range_test.plan import ramp_plan
from lrsearch.task.task import LoadedTask
from lrsearch.training.range_test import RangeTraining
from lrsearch.training.task_cache import TaskCache

#: 200 of the 2,000 trials on digits.
EXCERPT = Path(__file__).resolve().parents[1] / "tests" / "data" / "digits_mlp_finals.jsonl.gz"
OPTIMIZERS = ("sgd", "adamw")
#: The best share of the trials.
BEST = 0.05
#: What the window must hold of them.
BAR = 0.9
#: Reach of the rule that was replaced, a factor each way.
OLD_REACH = 5.6

Window = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Trial:
    optimizer: str
    #: Of SGD the momentum-equivalent one, lr * 0.1 / (1 - momentum).
    lr: float
    #: Final; infinite if it diverged.
    val_loss: float
    val_error: float


def read_trials(path: Path) -> list[Trial]:
    """One trial a line: config, and curves or final values."""
    trials = []
    for line in gzip.decompress(path.read_bytes()).decode().splitlines():
        row = json.loads(line)
        config = row.get("config", row)
        final = row.get("final", row)
        if "curves" in row:
            final = {name: curve[-1] for name, curve in row["curves"].items()}
        values = {key: final[key] for key in ("val_loss", "val_error")}
        scale = 0.1 / config["one_minus_mom"] if config["opt"] == "sgd" else 1.0
        trials.append(
            Trial(
                optimizer=config["opt"],
                lr=config["lr"] * scale,
                **{key: math.inf if value is None else value for key, value in values.items()},
            )
        )
    return trials


def digits() -> lrsearch.Task:
    """The MLP of the recorded trials on scikit-learn's digits; another split, as theirs is not."""
    from sklearn.datasets import load_digits

    pixels, classes = load_digits(return_X_y=True)
    order = torch.randperm(len(classes), generator=torch.Generator().manual_seed(0))
    inputs, targets = torch.tensor(pixels / 16, dtype=torch.float32), torch.tensor(classes)
    train, validation = order[:800], order[800:1200]
    return lrsearch.Task(
        model=lambda: nn.Sequential(
            nn.Linear(64, 48), nn.ReLU(), nn.Linear(48, 32), nn.ReLU(), nn.Linear(32, 10)
        ),
        train=(inputs[train], targets[train]),
        validation=(inputs[validation], targets[validation]),
        loss=cross_entropy,
        metrics={"error": error},
        batch_size=32,
    )


def range_test(task: lrsearch.Task, optimizer: str, seed: int) -> RangeTest:
    """As a study with this seed does it before its first trial."""
    content = {
        "name": "range-test",
        "task": "task.py:task",
        "epochs": 10,
        "budget": {"trials": 100},
        "space": {"optimizers": [optimizer]},
        "seed": seed,
    }
    spec = StudySpec.from_dict(content)
    loaded = LoadedTask(reference=spec.task, source=Path(), target=task, code={})
    cache = TaskCache(loaded, torch.device("cpu"))
    training = RangeTraining(spec, ramp_plan(spec, optimizer), cache, lambda: False)
    result = training.run(SEED_COUNTS[-1])
    assert result is not None
    return result


def old_window(result: RangeTest) -> Window | None:
    if result.min_over_10 is None or result.valley is None:
        return None
    centre = math.sqrt(result.min_over_10.median * result.valley.median)
    return centre / OLD_REACH, centre * OLD_REACH


def inside(trials: Sequence[Trial], window: Window | None) -> float:
    """The share of the trials whose lr lies in the window; without one, all of them."""
    if window is None:
        return 1.0
    return fmean(window[0] <= trial.lr <= window[1] for trial in trials)


def best_of(trials: Sequence[Trial], key: str) -> list[Trial]:
    ranked = sorted(trials, key=lambda trial: getattr(trial, key))
    return ranked[: max(1, round(BEST * len(ranked)))]


def measure(name: str, task: lrsearch.Task, path: Path, seeds: int) -> list[dict[str, Any]]:
    recorded, rows = read_trials(path), []
    for optimizer in OPTIMIZERS:
        log(f"{name}, {optimizer}")
        results = [range_test(task, optimizer, seed) for seed in range(seeds)]
        trials = [trial for trial in recorded if trial.optimizer == optimizer]
        rules = {
            "window": [result.window for result in results],
            "min/10, valley": [old_window(result) for result in results],
        }
        for rule, windows in rules.items():
            rows.append(
                {
                    "set": name,
                    "optimizer": optimizer,
                    "rule": rule,
                    "trials": len(trials),
                    "best": len(best_of(trials, "val_loss")),
                    "windows": windows,
                    "ramps": fmean(len(result.ramps) for result in results),
                    "steps": fmean(sum(len(r.lrs) for r in result.ramps) for result in results),
                    "by_loss": [inside(best_of(trials, "val_loss"), w) for w in windows],
                    "by_error": [inside(best_of(trials, "val_error"), w) for w in windows],
                    "all": [inside(trials, w) for w in windows],
                }
            )
    return rows


def shown(shares: Sequence[float]) -> str:
    return f"{100 * fmean(shares):.0f} ({100 * min(shares):.0f})"


def table(rows: Sequence[dict[str, Any]], seeds: int) -> str:
    lines = [
        f"Share of the best {100 * BEST:.0f} % of recorded trials inside the window, in %: mean of "
        f"{seeds} range tests (the lowest); the bar is {100 * BAR:.0f}",
        f"{'set':15}{'optimizer':10}{'rule':16}{'trials':>7}{'best':>5}{'lr':>20}"
        f"{'by loss':>11}{'by error':>11}{'all':>10}{'smaller':>9}{'steps':>7}",
    ]
    for row in rows:
        window = row["windows"][0]
        span = "none" if window is None else f"{window[0]:.2g} .. {window[1]:.2g}"
        lines.append(
            f"{row['set']:15}{row['optimizer']:10}{row['rule']:16}{row['trials']:7d}"
            f"{row['best']:5d}{span:>20}{shown(row['by_loss']):>11}{shown(row['by_error']):>11}"
            f"{shown(row['all']):>10}{1 / fmean(row['all']):8.1f}x{row['steps']:7.0f}"
        )
    held = [
        min(fmean(row["by_loss"]), fmean(row["by_error"]))
        for row in rows
        if row["rule"] == "window"
    ]
    verdict = "holds" if min(held) >= BAR else "misses"
    lines.append(f"The window {verdict} the bar; the lowest mean is {100 * min(held):.0f} %.")
    return "\n".join(lines)


def log(line: str) -> None:
    print(line, file=sys.stderr)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--digits", type=Path, default=EXCERPT, help="trials on digits")
    parser.add_argument("--seeds", type=int, default=5, help="range tests of each kind (5)")
    parser.add_argument("--json", action="store_true", help="one JSON document instead of a table")
    parser.add_argument("--quick", action="store_true", help="one on digits: does it run at all")
    options = parser.parse_args()
    if options.seeds < 1:
        parser.error(f"--seeds {options.seeds}: at least 1 is needed")
    if not options.digits.is_file():
        parser.error(f"--digits {options.digits}: there is no such file")
    torch.set_num_threads(1)
    seeds = 1 if options.quick else options.seeds
    sets: dict[str, tuple[Callable[[], lrsearch.Task], Path]] = {
        "digits": (digits, options.digits),
        "Fashion-MNIST": (fashion_mnist, RECORDS),
    }
    if options.quick:
        del sets["Fashion-MNIST"]
    rows = []
    for name, (make, path) in sets.items():
        try:
            task = make()
        except FileNotFoundError as missing:
            log(f"{name}: {missing}")
            continue
        rows += measure(name, task, path, seeds)
    names = list(range_ramps.TASKS)[: 1 if options.quick else None]
    ramps = list(range_ramps.rows(names, seeds))
    if options.json:
        found = {"windows": rows, "ramps": [asdict(row) for row in ramps]}
        print(json.dumps(found, indent=2))
    else:
        print(table(rows, seeds))
        print(range_ramps.table(ramps))


if __name__ == "__main__":
    main()
