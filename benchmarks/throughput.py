"""How fast fixed recipes are trained: the usual loop, the best one, and lrsearch's engines.

N recipes, half SGD with momentum and cosine, half AdamW with other schedules, are trained on a task
without sampling and without pruning. In lrsearch's engines as a worker trains them: with the weight
average, validated at rungs and at the end. No database has part in it: overhead.py measures that.

The clock is process CPU time of one core; on a GPU it is wall time after synchronising. Variants
take turns within a round, ratios are within one round, round 0 warms up. A pass in float64 checks
that all do the same work: every recipe ends with the same validation loss.

Run it: python benchmarks/throughput.py --task studies/digits.py:task
"""

import argparse
import json
import math
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
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
from lrsearch.training.cohort import Cohort
from lrsearch.training.engine import SoloEngine
from lrsearch.training.setup import TaskCache, try_task

#: Largest relative difference of a recipe's last validation loss from the usual loop's, in float64:
#: rounding leaves 1e-9 of a ResNet with BatchNorm, which amplifies it most of the zoo.
TOLERANCE = 1e-6
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


def variants(bench: Bench, sizes: Sequence[int]) -> dict[str, Variant]:
    """The loops by name; trials at once are `sizes`."""
    spec, cache = bench.spec, bench.cache

    def fused(size: int) -> Variant:
        return lambda work: train_all(
            lambda: Cohort(spec, cache, work.recipes[0], size), work.recipes
        )

    return {
        "usual": usual,
        "best_solo": best_solo,
        "solo": lambda work: train_all(lambda: SoloEngine(spec, cache), work.recipes),
        **{f"fused_{size}": fused(size) for size in sizes},
    }


def measure(bench: Bench, rounds: int) -> dict[str, Any]:
    """Seconds and ratios of all variants, and by how much their losses differ."""
    sizes = [2**i for i in range(1, len(bench.work.recipes).bit_length())]
    every, work = variants(bench, sizes), bench.work
    losses, _ = run_round("round 0", every, work, first=0)
    diverged = diverging(losses)
    work = replace(work, recipes=[r for i, r in enumerate(work.recipes) if i not in diverged])
    check = {
        "diverged": diverged,
        "float64": same_work(replace(bench, work=work), sizes),
        "float32": largest_differences(losses, diverged),
    }
    times: dict[str, Times] = {name: Times(cpu=[], wall=[]) for name in every}
    for number in range(1, rounds + 1):
        _, seconds = run_round(f"round {number} of {rounds}", every, work, first=number)
        for name, (cpu, wall) in seconds.items():
            times[name].cpu.append(cpu)
            times[name].wall.append(wall)
    return {"check": check, **figures(times, work)}


def run_round(
    title: str, every: Mapping[str, Variant], work: Work, *, first: int
) -> tuple[dict[str, Losses], dict[str, tuple[float, float]]]:
    """Each variant once, the `first` first: its losses, and seconds of CPU time and of wall."""
    losses, seconds = {}, {}
    names = [*every]
    for name in names[first % len(names) :] + names[: first % len(names)]:
        log(f"{title}: {name}")
        cpu, wall = time.process_time(), time.perf_counter()
        losses[name] = every[name](work)
        if work.device.type == "cuda":
            torch.cuda.synchronize(work.device)
        seconds[name] = (time.process_time() - cpu, time.perf_counter() - wall)
    return losses, seconds


def diverging(losses: Mapping[str, Losses]) -> list[int]:
    """Recipes that diverge one by one: the rounds to come leave them out."""
    plain, solo = losses["usual"], losses["solo"]
    diverged = [i for i, loss in enumerate(solo) if not math.isfinite(loss + plain[i])]
    if len(diverged) == len(plain):
        raise DifferentWorkError("every recipe diverged; nothing can be compared")
    return diverged


def same_work(bench: Bench, sizes: Sequence[int]) -> dict[str, float]:
    """The largest difference of each variant from the usual loop, all of them in float64.

    Raises DifferentWorkError beyond TOLERANCE.
    """
    standard = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        wide = in_float64(bench)
        losses, _ = run_round("check in float64", variants(wide, sizes), wide.work, first=0)
    finally:
        torch.set_default_dtype(standard)
    for name, ended in losses.items():
        for i, (loss, plain) in enumerate(zip(ended, losses["usual"], strict=True)):
            if not difference(loss, plain) <= TOLERANCE:
                raise DifferentWorkError(
                    f"{name} does other work: in float64 it ended {bench.work.recipes[i].title()} "
                    f"with validation loss {loss:.9g}, the usual loop with {plain:.9g}"
                )
    return largest_differences(losses, [])


def in_float64(bench: Bench) -> Bench:
    task = bench.work.task
    splits = [
        [t.double() if t.is_floating_point() else t for t in s]
        for s in (task.train, task.validation)
    ]
    wide = replace(task, model=lambda: task.model().double(), train=splits[0], validation=splits[1])
    loaded = replace(bench.cache.loaded, target=wide)
    cache = TaskCache(loaded, bench.work.device)
    return replace(bench, cache=cache, work=replace(bench.work, task=wide))


def largest_differences(losses: Mapping[str, Losses], skipped: Sequence[int]) -> dict[str, float]:
    plain = losses["usual"]
    kept = [i for i in range(len(plain)) if i not in skipped]
    return {
        name: max(difference(ended[i], plain[i]) for i in kept) for name, ended in losses.items()
    }


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
    lines += [
        "",
        f"largest difference of a validation loss from the usual loop's: "
        f"{max(check['float64'].values()):.0e} in float64, {max(check['float32'].values()):.0e} "
        f"in float32",
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
