"""What it brings that workers keep the memory they have freed, in large pages.

The recipes of throughput.py are trained one by one in two processes in turn: in one the heap is as
glibc has it, in the other as a worker has it (lrsearch/training/heap.py). CPU time of one core.
Run it: python benchmarks/heap.py --tasks tiny_gpt resnet8 cnn_6000
"""

import argparse
import json
import os
from dataclasses import asdict
from functools import partial
from statistics import median
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from auto import MOST, affordable, as_worker, fewer, references
from overhead import log, processor, ratio, shown
from own_process import OwnProcess, Used
from throughput import pin
from throughput_rounds import make_bench

SIDES = ("glibc's", "worker's")


def measure(task: str, epochs: int, seconds: float, rounds: int) -> dict[str, Any]:
    reference = references()[task]
    bench = make_bench(reference, MOST, epochs, torch.device("cpu"))
    trials = fewer(bench, affordable(bench, seconds / (rounds + 1))).work.recipes
    worker = partial(as_worker, reference, epochs, trials, "solo")
    used: dict[str, list[Used]] = {side: [] for side in SIDES}
    with OwnProcess(partial(worker, False)) as plain, OwnProcess(partial(worker, True)) as prepared:
        processes = dict(zip(SIDES, (plain, prepared), strict=True))
        for number in range(rounds + 1):
            for side in SIDES if number % 2 else SIDES[::-1]:
                log(f"{task}, {epochs} epochs: round {number} of {rounds}: {side}")
                used[side].append(processes[side].run("solo"))
    before, after = (used[side][1:] for side in SIDES)
    pages = [median(one.pages for one in side) / len(trials) for side in (before, after)]
    gain = ratio([one.cpu for one in before], [one.cpu for one in after])
    return {"task": task, "epochs": epochs, "gain": asdict(gain), "pages": pages}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    names = list(references())
    parser.add_argument("--tasks", nargs="+", choices=names, default=names, metavar="TASK")
    parser.add_argument("--epochs", type=int, default=1, help="of each trial (1)")
    parser.add_argument("--seconds", type=float, default=6, help="for each task (6)")
    parser.add_argument("--rounds", type=int, default=7, help="rounds that count (7)")
    parser.add_argument("--json", action="store_true", help="one JSON document instead of a table")
    options = parser.parse_args()
    if min(options.epochs, options.rounds) < 1 or options.seconds <= 0:
        parser.error("--epochs, --rounds and --seconds: numbers above 0 are needed")
    torch.set_num_threads(1)
    pin()
    if not options.json:
        print(f"{processor()}, torch {torch.__version__}, 1 thread; pages of memory for a trial\n")
        print(f"{'task':20}{'epochs':>7}{'times as fast':>21}{SIDES[0]:>12}{SIDES[1]:>12}")
    found = []
    for task in options.tasks:
        row = measure(task, options.epochs, options.seconds, options.rounds)
        found.append(row)
        if not options.json:
            pages = "".join(f"{count:12,.0f}" for count in row["pages"])
            print(f"{task:20}{options.epochs:7}{shown(row['gain']):>21}{pages}", flush=True)
    if options.json:
        print(json.dumps({"processor": processor(), "rows": found}))


if __name__ == "__main__":
    main()
