"""What repeating a recorded step brings a trial that is trained by itself.

Each recipe of throughput.py is trained by the best one-by-one loop, by lrsearch with every step
done by the model itself, and by lrsearch with the recorded step repeated; the three take turns on
one core, and the clock is process CPU time. Averages, validations and bookkeeping are included. The
run fails unless both ways of lrsearch end with the same loss to the last bit.

Run it: python benchmarks/one_by_one.py --tasks studies/digits.py:task studies/diabetes.py:task
"""

import argparse
import os
import sys
import time
from collections.abc import Callable
from statistics import median

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from overhead import Spread, processor
from plain_loops import best_trial
from throughput import pin
from throughput_rounds import Bench, DifferentWorkError, make_bench

from lrsearch import LrsearchError, Recipe
from lrsearch.training.recorded_step import Recordings
from lrsearch.training.solo import SoloTraining
from lrsearch.training.start import plan_of, scored
from lrsearch.training.training import wants_average

WAYS = ("best", "module", "repeated")


def train(bench: Bench, recipe: Recipe, recordings: Recordings | None) -> float:
    """The last validation loss of a trial as a worker trains it."""
    task, splits = bench.cache.splits(recipe)
    plan = plan_of(bench.spec, recipe, bench.work.steps_per_epoch)
    device = bench.work.device
    training = SoloTraining(scored(task, bench.spec), recipe, plan, splits, device, recordings)
    loss = float("nan")
    while not training.done:
        training.advance(training.next_validation)
        if training.is_due:
            loss = training.validate(with_ema=wants_average(training)).val_loss
    return loss


def cpu(call: Callable[[], float]) -> tuple[float, float]:
    started = time.process_time()
    result = call()
    return time.process_time() - started, result


def measure(reference: str, trials: int, epochs: int, rounds: int) -> str:
    """A row of the table. Raises DifferentWorkError where repeating changes a loss."""
    bench = make_bench(reference, trials, epochs, torch.device("cpu"))
    work, recordings = bench.work, Recordings()
    splits = [tuple(work.task.train), tuple(work.task.validation)]
    with recordings.at_once():
        train(bench, work.recipes[0], recordings)
    spent: dict[str, list[float]] = {way: [] for way in WAYS}
    for recipe in [*work.recipes] * rounds:
        best = cpu(lambda: best_trial(work, recipe, splits))  # noqa: B023
        module = cpu(lambda: train(bench, recipe, None))  # noqa: B023
        repeated = cpu(lambda: train(bench, recipe, recordings))  # noqa: B023
        if module[1] != repeated[1]:
            raise DifferentWorkError(f"{recipe.title()}: {module[1]!r} and {repeated[1]!r}")
        for way, (seconds, _) in zip(WAYS, (best, module, repeated), strict=True):
            spent[way].append(seconds)
    steps = epochs * work.steps_per_epoch
    each = "".join(f"{1e6 * median(spent[way]) / steps:10.0f}" for way in WAYS)
    ratios = [
        Spread.of([b / a for a, b in zip(spent[way], spent["best"], strict=True)])
        for way in WAYS[1:]
    ]
    words = "".join(f"{f'{r.median:.2f} ({r.low:.2f}..{r.high:.2f})':>21}" for r in ratios)
    return f"{reference:34}{each}{words}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--tasks", nargs="+", required=True, help="FILE.py:attribute of tensors")
    parser.add_argument("--trials", type=int, default=16, help="recipes (16)")
    parser.add_argument("--epochs", type=int, default=3, help="epochs of each (3)")
    parser.add_argument("--rounds", type=int, default=3, help="times that each is trained (3)")
    options = parser.parse_args()
    for name in ("trials", "epochs", "rounds"):
        if (value := getattr(options, name)) < 1:
            parser.error(f"--{name} {value}: at least 1 is needed")
    torch.set_num_threads(1)
    pin()
    print(f"{processor()}, torch {torch.__version__}, 1 thread, {options.epochs} epochs")
    print("CPU us a step, validations included; how many times as fast as the best loop\n")
    print(f"{'':34}{'best':>10}{'module':>10}{'repeated':>10}{'module':>21}{'repeated':>21}")
    try:
        for reference in options.tasks:
            row = measure(reference, options.trials, options.epochs, options.rounds)
            print(row, flush=True)
    except (LrsearchError, DifferentWorkError) as error:
        sys.exit(f"Error: {error}")


if __name__ == "__main__":
    main()
