"""What validation costs in trainings of few epochs, beside the usual loop and the best one.

The recipes of throughput.py, one by one: in the two loops, which validate at the end of each epoch;
in lrsearch with the whole validation set and the weight average at every rung and at the end
(`whole`), which is what it did before; and as it does now (`part`): on a part of the set at rungs
that no epoch ends near, and averages only once they have forgotten the initial weights.

The clock is process CPU time of one core. Variants take turns within a round, and ratios are within
one round. Round 0 warms up.

Run it: python benchmarks/short_runs.py --task benchmarks/zoo.py:cnn_6000 --epochs 1
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from engine_loops import train_all
from overhead import log, ratio, shown
from plain_loops import Work, best_solo, usual
from throughput import BASELINES, pin
from throughput_rounds import Bench, make_bench

from lrsearch import LrsearchError, StudySpec
from lrsearch.training.engine import SoloEngine
from lrsearch.training.training import Training, wants_average

Variant = Callable[[Work], object]


def variants(bench: Bench) -> dict[str, Variant]:
    pruning = bench.spec.pruning
    assert pruning is not None
    whole = pruning.model_copy(update={"samples": "all"})

    def ours(spec: StudySpec, with_ema: Callable[[Training], bool]) -> Variant:
        def train(work: Work) -> object:
            return train_all(lambda: SoloEngine(spec, bench.cache), work.recipes, with_ema=with_ema)

        return train

    return {
        "usual": usual,
        "best_solo": best_solo,
        "whole": ours(bench.spec.model_copy(update={"pruning": whole}), at_each_rung),
        "part": ours(bench.spec, wants_average),
    }


def at_each_rung(training: Training) -> bool:
    """Whether a trial stands at a rung or at its end, however much its average has seen."""
    number = training.validated + 1
    return training.is_last(number) or training.rung_of(number) is not None


def measure(bench: Bench, rounds: int) -> dict[str, Any]:
    every = variants(bench)
    times: dict[str, list[float]] = {name: [] for name in every}
    for number in range(rounds + 1):
        log(f"round {number} of {rounds}")
        first = number % len(every)
        for name in [*list(every)[first:], *list(every)[:first]]:
            started = time.process_time()
            every[name](bench.work)
            times[name].append(time.process_time() - started)
    clock = {name: spent[1:] for name, spent in times.items()}
    return {
        name: {f"vs_{other}": asdict(ratio(clock[other], clock[name])) for other in BASELINES}
        for name in ("whole", "part")
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--task", required=True, help="FILE.py:attribute, a Task of tensors")
    parser.add_argument("--trials", type=int, default=2, help="recipes (2)")
    parser.add_argument("--epochs", type=int, default=1, help="epochs of each (1)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds that count (5)")
    parser.add_argument("--json", action="store_true", help="one JSON document instead of a table")
    options = parser.parse_args()
    for name in ("trials", "epochs", "rounds"):
        if getattr(options, name) < 1:
            parser.exit(2, f"Error: --{name} {getattr(options, name)}: at least 1 is needed\n")
    torch.set_num_threads(1)
    pin()
    try:
        bench = make_bench(options.task, options.trials, options.epochs, torch.device("cpu"))
    except LrsearchError as error:
        sys.exit(f"Error: {error}")
    part = None if bench.spec.pruning is None else bench.spec.pruning.part
    samples = "all" if part is None else f"{part.count} of {part.of}"
    result = measure(bench, options.rounds)
    if options.json:
        named = {"task": options.task, "epochs": options.epochs, "samples": samples}
        print(json.dumps({**named, "ratios": result}, indent=2))
        return
    print(f"{options.task}, epochs: {options.epochs}, samples at rungs: {samples}")
    print(f"{'':8}" + "".join(f"{'vs ' + other:>22}" for other in BASELINES))
    for name, row in result.items():
        print(f"{name:8}" + "".join(f"{shown(spread):>22}" for spread in row.values()))


if __name__ == "__main__":
    main()
