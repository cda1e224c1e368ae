"""How fast fixed recipes are trained: the usual loop, the best one, and lrsearch's engines.

N recipes, half SGD with momentum and cosine, half AdamW with other schedules, are trained on a task
without sampling and without pruning. In lrsearch's engines as a worker trains them: with the weight
average, validated at rungs and at the end. No database has part in it: overhead.py measures that.

The clock is process CPU time of one core; on a GPU it is wall time after synchronising. Variants
take turns within a round, ratios are within one round, round 0 warms up and checks that all end
with the same losses. Run it: python benchmarks/throughput.py --task studies/digits.py:task
"""

import argparse
import json
import math
import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import optuna
import torch
from engine_loops import train_all
from overhead import Times, log, processor, ratio, shown
from plain_loops import Work, best_solo, recipes, usual

from lrsearch.errors import LrsearchError, TaskError
from lrsearch.spec import StudySpec
from lrsearch.task import LoadedTask, load_task
from lrsearch.training.engine import SoloEngine
from lrsearch.training.setup import TaskCache, try_task

#: Validation losses of a recipe agree if they differ by no more than this share of it, or by ...
TOLERANCE = 1e-3
#: ... so many times what rounding alone makes of it: the largest difference that the plain loop has
#: to itself when its initial weights change in their last bits, so many times.
NOISE_FACTOR, NUDGES = 10.0, 3

#: What lrsearch is set beside.
BASELINES = ("usual", "best_solo")

Losses = list[float]
Variant = Callable[[Work], Losses]


class DifferentWorkError(Exception):
    """Variants did not end with the same losses."""


@dataclass(frozen=True, kw_only=True)
class Bench:
    """A task, the study that its recipes are trained in, and where."""

    spec: StudySpec
    cache: TaskCache
    work: Work


def make_bench(reference: str, trials: int, epochs: int, device: torch.device) -> Bench:
    """Raises TaskError unless the task can be trained and its data are tensors."""
    loaded = find(reference)
    task = loaded.make()
    try_task(task, device)
    for which in (task.train, task.validation):
        if not (isinstance(which, tuple | list) and isinstance(which[0], torch.Tensor)):
            raise TaskError(
                f"the data of {reference} are {type(which).__name__}, but (inputs, targets) "
                f"tensors are needed: the loops index them"
            )
    spec = StudySpec.from_dict(
        {
            "name": "throughput",
            "task": loaded.reference,
            "epochs": epochs,
            "budget": {"trials": trials},
            "seed": 0,
            "confirm": "none",
            "range_test": "none",
        }
    )
    work = Work(task=task, recipes=recipes(spec, trials), device=device)
    return Bench(spec=spec, cache=TaskCache(loaded, device), work=work)


def find(reference: str) -> LoadedTask:
    """The task of FILE.py:attribute, the file relative to the current folder or absolute."""
    place, _, attribute = reference.rpartition(":")
    if place.endswith(".py"):
        return load_task(f"{Path(place).name}:{attribute}", Path(place).parent)
    return load_task(reference, Path())


def variants(bench: Bench) -> dict[str, Variant]:
    return {
        "usual": usual,
        "best_solo": best_solo,
        "solo": lambda work: train_all(lambda: SoloEngine(bench.spec, bench.cache), work.recipes),
    }


def measure(bench: Bench, rounds: int) -> dict[str, Any]:
    """Seconds and ratios of all variants, and by how much their losses differ."""
    every, work = variants(bench), bench.work
    names = list(every)
    losses: dict[str, Losses] = {}
    times = {name: Times(cpu=[], wall=[]) for name in names}
    for number in range(rounds + 1):
        for name in names[number % len(names) :] + names[: number % len(names)]:
            log(f"round {number} of {rounds}: {name}")
            cpu, wall = time.process_time(), time.perf_counter()
            ended = every[name](work)
            if work.device.type == "cuda":
                torch.cuda.synchronize(work.device)
            if number:
                times[name].cpu.append(time.process_time() - cpu)
                times[name].wall.append(time.perf_counter() - wall)
            else:
                losses[name] = ended
        if number == 0:
            check = compared(work, losses)
            work = replace(
                work, recipes=[r for i, r in enumerate(work.recipes) if i not in check["diverged"]]
            )
    return {"check": check, **figures(times, work)}


def compared(work: Work, losses: Mapping[str, Losses]) -> dict[str, Any]:
    """How far each variant's losses are from the usual loop's. Raises DifferentWorkError.

    A recipe that diverged is skipped here, and left out of the rounds to come.
    """
    log("round 0: the noise of rounding")
    plain = losses["usual"]
    noise = [0.0] * len(plain)
    for seed in range(NUDGES):
        for i, loss in enumerate(best_solo(work, nudge=seed)):
            noise[i] = max(noise[i], difference(loss, losses["best_solo"][i]))
    diverged = [i for i, loss in enumerate(losses["solo"]) if not math.isfinite(loss + plain[i])]
    largest = {}
    for name, ended in losses.items():
        largest[name] = 0.0
        for i in set(range(len(plain))).difference(diverged):
            off, allowed = difference(ended[i], plain[i]), max(TOLERANCE, NOISE_FACTOR * noise[i])
            if not off <= allowed:
                raise DifferentWorkError(
                    f"{name} ended recipe {i} ({work.recipes[i].title()}) with validation loss "
                    f"{ended[i]:.6g}, the usual loop with {plain[i]:.6g}: {100 * off:.2g} % off, "
                    f"but {100 * allowed:.2g} % is allowed"
                )
            largest[name] = max(largest[name], off)
    if len(diverged) == len(plain):
        raise DifferentWorkError("every recipe diverged; nothing can be compared")
    rounding = max(noise[i] for i in range(len(plain)) if i not in diverged)
    return {"largest_difference": largest, "rounding": rounding, "diverged": diverged}


def difference(a: float, b: float) -> float:
    return abs(a - b) / max(abs(b), 1e-12)


def figures(times: Mapping[str, Times], work: Work) -> dict[str, Any]:
    """Per trial and as ratios; above 1, lrsearch is faster."""
    on_cpu = work.device.type == "cpu"
    clock = {name: t.cpu if on_cpu else t.wall for name, t in times.items()}
    spreads = {
        name: {f"vs_{other}": asdict(ratio(clock[other], clock[name])) for other in BASELINES}
        for name in times
        if name not in BASELINES
    }
    trials = len(work.recipes)
    return {
        "clock": "process CPU time" if on_cpu else "wall time",
        "ratios": {
            name: {key: spread["median"] for key, spread in row.items()}
            for name, row in spreads.items()
        },
        "spreads": spreads,
        "cpu_seconds": {name: median(t.cpu) / trials for name, t in times.items()},
        "wall_seconds": {name: median(t.wall) / trials for name, t in times.items()},
    }


# Output.


def table(result: Mapping[str, Any]) -> str:
    check = result["check"]
    lines = [
        f"{result['processor']}, torch {result['torch']}, {result['device']}, 1 thread",
        f"{result['task']}: {result['trials']} recipes, {result['epochs']} epochs; no database",
        f"{result['rounds']} rounds in turn, {result['clock']}; median (lowest..highest), above 1 "
        f"lrsearch is faster",
        "",
        f"{'':12}{'cpu ms/trial':>14}{'wall ms/trial':>14}{'vs usual':>21}{'vs best_solo':>21}",
    ]
    for name, seconds in result["cpu_seconds"].items():
        row = f"{name:12}{1000 * seconds:14.1f}{1000 * result['wall_seconds'][name]:14.1f}"
        for spread in result["spreads"].get(name, {}).values():
            row += f"{shown(spread):>21}"
        lines.append(row)
    worst = max(check["largest_difference"].values())
    lines += [
        "",
        f"validation losses differ from the usual loop's by at most {100 * worst:.2g} %; rounding "
        f"alone makes {100 * check['rounding']:.2g} %",
    ]
    if check["diverged"]:
        lines.append(f"diverged and left out: recipes {', '.join(map(str, check['diverged']))}")
    return "\n".join(lines)


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--task", required=True, help="FILE.py:attribute, a Task of tensors")
    parser.add_argument("--trials", type=int, default=16, help="recipes (16)")
    parser.add_argument("--epochs", type=int, default=5, help="epochs of each (5)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds that count (5)")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N (cpu)")
    parser.add_argument("--json", action="store_true", help="one JSON document instead of tables")
    options = parser.parse_args()
    for name in ("trials", "epochs", "rounds"):
        if getattr(options, name) < 1:
            parser.error(f"--{name} {getattr(options, name)}: at least 1 is needed")
    return options


def pin() -> None:
    """Onto one core, where the system can."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def main() -> None:
    options = parse_options()
    torch.set_num_threads(1)
    try:
        device = torch.device(options.device)
        if device.type == "cpu":
            pin()
        bench = make_bench(options.task, options.trials, options.epochs, device)
        result = measure(bench, options.rounds)
    except (LrsearchError, DifferentWorkError) as error:
        sys.exit(f"Error: {error}")
    named = {name: getattr(options, name) for name in ("task", "trials", "epochs", "rounds")}
    result = {
        **named,
        "device": options.device,
        "processor": processor(),
        "torch": torch.__version__,
        "optuna": optuna.__version__,
        **result,
    }
    print(json.dumps(result, indent=2) if options.json else table(result))


if __name__ == "__main__":
    main()
