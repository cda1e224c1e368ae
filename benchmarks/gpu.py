"""What the engines bring on a GPU: one eager process, the best loop, many processes, a CUDA graph.

N recipes, half SGD and half AdamW with other schedules, are trained to their ends on four models.
One by one in the usual loop and in the best one; by processes at once, each in the best loop; as a
cohort whose steps are launched operation by operation; and as a cohort whose step is one CUDA
graph. The clock is the wall's, after synchronising; variants take turns, and round 0 warms up.

Before that, all of it in float64: every recipe has to end with the validation loss that
torch.optim gives it in a loop of its own.

Run it on a machine with a GPU: python benchmarks/gpu.py
The same program, small, without one: python benchmarks/gpu.py --device cpu
"""

import argparse
import json
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from multiprocessing.synchronize import Barrier
from pathlib import Path
from statistics import median
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from engine_loops import engine_of, train_all
from overhead import log
from plain_loops import best_solo, usual
from throughput_rounds import TOLERANCE, Bench, difference, in_float64, make_bench

from lrsearch import DeviceError
from lrsearch.training.devices import hardware, pick_device
from lrsearch.training.failures import CohortError
from lrsearch.training.graphed.buffers import WINDOW
from lrsearch.training.graphed.cohort import GraphedCohort

HERE = Path(__file__).resolve().parent
#: Reference of each task, and how many trials at once.
TASKS: Mapping[str, tuple[str, int]] = {
    "tiny MLP": (f"{HERE.parent}/studies/digits.py:task", 64),
    "CNN": (f"{HERE}/zoo.py:cnn", 32),
    "ResNet-18": (f"{HERE}/gpu_tasks.py:resnet18", 4),
    "tiny GPT": (f"{HERE}/zoo.py:tiny_gpt", 32),
}
#: What a CPU proves: that the program runs, and computes the same.
SMALL: Mapping[str, tuple[str, int]] = {
    "tiny MLP": (f"{HERE.parent}/studies/digits.py:task", 4),
    "ResNet-8": (f"{HERE}/zoo.py:resnet8_digits", 2),
}
#: Processes at once on one device.
PROCESSES = 8
EPOCHS, ROUNDS = 3, 3

Variant = Callable[[], Sequence[float]]


def graphed(bench: Bench) -> list[float]:
    """All recipes as one cohort whose step is captured. Raises CohortError where it cannot be."""
    work = bench.work

    def make() -> GraphedCohort:
        return GraphedCohort(bench.spec, bench.cache, work.recipes[0], len(work.recipes))

    return train_all(make, work.recipes, steps=WINDOW)


def fused(bench: Bench) -> list[float]:
    """All recipes as one cohort, launched operation by operation."""
    work = bench.work
    size = len(work.recipes)
    return train_all(
        lambda: engine_of(bench.spec, bench.cache, work.recipes[0], size), work.recipes
    )


def variants(bench: Bench) -> dict[str, Variant]:
    return {
        "usual": lambda: usual(bench.work),
        "best": lambda: best_solo(bench.work),
        "fused": lambda: fused(bench),
        "graphed": lambda: graphed(bench),
    }


def waited(device: torch.device) -> float:
    """The wall's clock once the device has done all it was given."""
    if device.type != "cpu":
        torch.accelerator.synchronize(device)
    return time.perf_counter()


# Many processes.


def train_share(
    reference: str, trials: int, epochs: int, device: str, share: slice, barrier: Barrier
) -> None:
    """A process of its own: warm up, wait for the others, train, wait for the others."""
    torch.set_num_threads(1)
    bench = make_bench(reference, trials, epochs, torch.device(device))
    mine = bench.work.recipes[share]
    best_solo(replace(bench.work, recipes=mine[:1]))
    waited(bench.work.device)
    barrier.wait()
    best_solo(replace(bench.work, recipes=mine))
    waited(bench.work.device)
    barrier.wait()


def many_processes(bench: Bench, epochs: int, count: int) -> float:
    """Seconds that `count` processes need for all recipes, each in the best loop."""
    context = multiprocessing.get_context("spawn")
    trials, device = len(bench.work.recipes), str(bench.work.device)
    count = min(count, trials)
    barrier = context.Barrier(count + 1)
    common = (bench.reference, trials, epochs, device)
    processes = [
        context.Process(target=train_share, args=(*common, slice(i, None, count), barrier))
        for i in range(count)
    ]
    for process in processes:
        process.start()
    barrier.wait()
    started = time.perf_counter()
    barrier.wait()
    seconds = time.perf_counter() - started
    for process in processes:
        process.join()
    return seconds


# What is measured.


def check(bench: Bench) -> float:
    """The largest difference of a recipe's last loss in a cohort from torch.optim's, in float64."""
    standard = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        wide = in_float64(bench)
        wanted, found = best_solo(wide.work), graphed(wide)
    finally:
        torch.set_default_dtype(standard)
    return max(difference(a, b) for a, b in zip(found, wanted, strict=True))


def measure(
    title: str, reference: str, trials: int, device: torch.device, options: argparse.Namespace
) -> dict[str, Any]:
    """Microseconds of a trial-step in each variant, and whether all did the same."""
    log(f"{title}: check in float64")
    bench = make_bench(reference, trials, options.epochs, device)
    row: dict[str, Any] = {"model": title, "trials": trials, "reasons": {}}
    try:
        row["difference"] = check(bench)
    except CohortError as error:
        return {**row, "difference": None, "reasons": {"graphed": str(error)}}
    steps = trials * bench.work.recipes[0].total_steps(bench.work.steps_per_epoch)
    times: dict[str, list[float]] = {name: [] for name in variants(bench)}
    for number in range(options.rounds + 1):
        for name, train in variants(bench).items():
            log(f"{title}, round {number} of {options.rounds}: {name}")
            started = waited(device)
            try:
                train()
            except CohortError as error:
                row["reasons"][name] = str(error)
                continue
            if number:
                times[name].append(waited(device) - started)
    log(f"{title}: {options.processes} processes")
    times["processes"] = [many_processes(bench, options.epochs, options.processes)]
    row["microseconds"] = {
        name: 1e6 * median(seconds) / steps for name, seconds in times.items() if seconds
    }
    row["bytes_per_trial"] = trial_bytes(bench, device)
    return row


def trial_bytes(bench: Bench, device: torch.device) -> float | None:
    """Bytes that each trial of a captured cohort takes at most; None where they are not counted."""
    if device.type != "cuda":
        return None
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    graphed(bench)
    return (torch.cuda.max_memory_allocated(device) - before) / len(bench.work.recipes)


def table(result: Mapping[str, Any]) -> str:
    """Microseconds of a trial-step; in brackets how many times as fast as the usual loop."""
    names = ["usual", "best", "processes", "fused", "graphed"]
    heads = ["model", "trials", *names, "MB/trial", "difference"]
    lines = [f"| {' | '.join(heads)} |", "|" + "---|" * len(heads)]
    for row in result["rows"]:
        took = row.get("microseconds", {})
        cells = [
            f"{took[name]:.1f} ({took['usual'] / took[name]:.1f}x)" if name in took else "-"
            for name in names
        ]
        size = row.get("bytes_per_trial")
        known = "-" if row["difference"] is None else f"{row['difference']:.0e}"
        memory = "-" if size is None else f"{size / 1e6:.1f}"
        line = [row["model"], str(row["trials"]), *cells, memory, known]
        lines.append(f"| {' | '.join(line)} |")
    reasons = [
        f"{row['model']}, {name}: {reason}"
        for row in result["rows"]
        for name, reason in row["reasons"].items()
    ]
    head = f"{result['device']}, torch {result['torch']}; microseconds of a trial-step"
    return "\n".join([head, "", *lines, *reasons])


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--device", default="cuda:0", help="cuda:N, or cpu for a small proof")
    parser.add_argument("--epochs", type=int, default=EPOCHS, help="of each recipe (%(default)s)")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="measured (%(default)s)")
    parser.add_argument("--processes", type=int, default=PROCESSES, help="at once (%(default)s)")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    return parser.parse_args()


def main() -> None:
    options = parse_options()
    try:
        device = pick_device(options.device)
    except DeviceError as error:
        sys.exit(
            f"gpu.py needs a CUDA device and torch for CUDA: {error}; --device cpu proves the "
            f"program small"
        )
    torch.set_num_threads(1)
    tasks = SMALL if device.type == "cpu" else TASKS
    rows = [
        measure(title, reference, trials, device, options)
        for title, (reference, trials) in tasks.items()
    ]
    result = {"device": hardware(device), "torch": torch.__version__, "rows": rows}
    print(json.dumps(result) if options.json else table(result))
    found = [row["difference"] for row in rows if row["difference"] is not None]
    if not found or max(found) > TOLERANCE:
        sys.exit(f"a cohort does other work than torch.optim: {found}")


if __name__ == "__main__":
    main()
