"""Record full trainings of a grid of recipes on small tasks, from which a portfolio is derived.

Every recipe of grid.py is trained to its end on every task of tasks.py with one seed; the best two
fifths of each task's grid with two seeds more, and so are those of its draws of the default space.
Many runs are trained as one program. Rows are appended to a file as runs end; started again, the
script goes on. `--pack` writes them sorted to benchmarks/data/portfolio_runs.jsonl.gz.
Run it: python benchmarks/portfolio/record.py --out runs.jsonl && python \
benchmarks/portfolio/record.py --out runs.jsonl --pack
"""

import argparse
import gzip
import json
import logging
import math
import os
import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from grid import Entry, entries
from runs import RUNS, Run, read
from tasks import EPOCHS

from lrsearch import Recipe, StudySpec
from lrsearch.task.find import load_task
from lrsearch.training.engine import Engine, SoloEngine
from lrsearch.training.fused.cohort import Cohort
from lrsearch.training.task_cache import TaskCache

HERE = Path(__file__).resolve().parent
#: Share of a task's entries that is trained with each seed.
SHARES = (1.0, 0.4, 0.4)
#: Runs that are trained at once, and how often a run is validated.
PLACES, VALIDATION_SHARE = 16, 0.05
#: Tasks whose runs are faster one by one.
SOLO: frozenset[str] = frozenset()


class Bench:
    """A task with its horizon, ready to train."""

    def __init__(self, name: str) -> None:
        self.name = name
        loaded = load_task(f"tasks.py:{name}", HERE)
        self.cache = TaskCache(loaded, torch.device("cpu"))
        self.batch_size = self.cache.task({}).batch_size
        fields = {
            "task": loaded.reference,
            "name": "portfolio",
            "epochs": EPOCHS[name],
            "budget": {"trials": 1},
            "ema": "none",
            "pruning": "none",
            "validate_every": {"fraction": VALIDATION_SHARE},
        }
        self.spec = StudySpec.from_dict(fields, where="portfolio")

    def recipe(self, entry: Entry, seed: int) -> Recipe:
        fields = {**entry.fields, "epochs": EPOCHS[self.name], "seed": seed}
        return Recipe.from_dict(fields, where=entry.name)

    def engine(self, recipe: Recipe, waiting: int) -> Engine:
        if self.name in SOLO:
            return SoloEngine(self.spec, self.cache)
        return Cohort(self.spec, self.cache, recipe, min(PLACES, max(2, waiting)))


def train(bench: Bench, wanted: Sequence[Entry], seed: int) -> Iterator[Run]:
    """Each to its end, many at once; places are filled again as runs end."""
    waiting, running, losses = deque(wanted), {}, {}
    while waiting:
        engine = bench.engine(bench.recipe(waiting[0], seed), len(waiting))
        while waiting or engine.trainings:
            while waiting and engine.may_join():
                training = engine.admit(bench.recipe(waiting[0], seed))
                running[id(training)] = waiting.popleft()
            if not waiting:
                engine.shrink()
            engine.advance(1_000_000)
            due = engine.due()
            rows = engine.validate(due, with_ema=lambda training: False) if due else []
            for training, row in zip(due, rows, strict=True):
                losses.setdefault(id(training), []).append(row.val_loss)
            for training in [training for training in engine.trainings if training.done]:
                entry, found = running.pop(id(training)), losses.pop(id(training), [])
                fine = training.diverged is None and all(map(math.isfinite, found))
                yield Run(
                    task=bench.name,
                    entry=entry.name,
                    kind=entry.kind,
                    seed=seed,
                    batch_size=bench.batch_size,
                    best=float(f"{min(found):.5g}") if fine else None,
                    last=float(f"{found[-1]:.5g}") if fine else None,
                    seconds=round(training.seconds, 3),
                )
                engine.drop(training)
            if not engine.trainings:
                break


def wanted(bench: Bench, runs: Sequence[Run], seed: int) -> list[Entry]:
    """What is to be trained with this seed and is not yet: textbook recipes, and the better ones.

    Better by the mean over the seeds before.
    """
    every = entries(bench.batch_size)
    done = {run.entry for run in runs if run.task == bench.name and run.seed == seed}
    chosen = set(every_name(every))
    if seed > 0:
        chosen = {entry.name for entry in every if entry.kind == "textbook"}
        for kind in ("grid", "draw"):
            values = means([r for r in runs if r.task == bench.name and r.kind == kind], seed)
            count = sum(entry.kind == kind for entry in every)
            chosen |= set(sorted(values, key=values.__getitem__)[: round(SHARES[seed] * count)])
    return [entry for entry in every if entry.name in chosen - done]


def every_name(every: Sequence[Entry]) -> list[str]:
    return [entry.name for entry in every]


def means(runs: Sequence[Run], seed: int) -> dict[str, float]:
    """Entry to the mean of its losses with the seeds before, where it has all and none diverged."""
    found: dict[str, list[float]] = {}
    for run in runs:
        if run.seed < seed and run.best is not None:
            found.setdefault(run.entry, []).append(run.best)
    return {name: sum(values) / seed for name, values in found.items() if len(values) == seed}


def record(out: Path, names: Sequence[str], seeds: int) -> None:
    for seed in range(seeds):
        for name in names:
            bench, runs = Bench(name), read(out)
            todo, started = wanted(bench, runs, seed), time.process_time()
            with out.open("a", encoding="utf-8") as file:
                for run in train(bench, todo, seed):
                    file.write(json.dumps(asdict(run)) + "\n")
                    file.flush()
            spent = time.process_time() - started
            print(f"{name}, seed {seed}: {len(todo)} runs, {spent:.0f} s", file=sys.stderr)


def pack(out: Path) -> None:
    runs = sorted(read(out), key=lambda run: (run.task, run.kind, run.entry, run.seed))
    text = "".join(json.dumps(asdict(run)) + "\n" for run in runs)
    RUNS.write_bytes(gzip.compress(text.encode(), mtime=0))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").partition("\n\n")[0],
        epilog="example: python benchmarks/portfolio/record.py --out runs.jsonl --tasks cancer",
    )
    parser.add_argument("--out", type=Path, required=True, help="the file of rows to go on with")
    parser.add_argument("--tasks", default=",".join(EPOCHS), help="names of tasks.py (all)")
    parser.add_argument("--seeds", type=int, default=len(SHARES), help="how many (3)")
    parser.add_argument("--pack", action="store_true", help=f"train nothing; write {RUNS.name}")
    options = parser.parse_args()
    torch.set_num_threads(1)
    logging.getLogger("lrsearch").setLevel(logging.ERROR)
    if options.pack:
        pack(options.out)
    else:
        record(options.out, options.tasks.split(","), options.seeds)


if __name__ == "__main__":
    main()
