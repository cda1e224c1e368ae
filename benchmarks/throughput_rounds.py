"""What throughput.py times: a task, the loops over it, a round of them, and whether they agree."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from engine_loops import engine_of, train_all
from gpu_busy import busy
from overhead import log
from plain_loops import Work, best_solo, recipes, usual

from lrsearch import StudySpec, TaskError
from lrsearch.spec.validation_plan import with_rung_samples
from lrsearch.task.find import load_task
from lrsearch.task.task import LoadedTask
from lrsearch.training.engine import Engine
from lrsearch.training.task_cache import TaskCache
from lrsearch.training.try_task import try_task

#: Largest relative difference of a recipe's last validation loss from the usual loop's, in float64:
#: rounding leaves 1e-9 of a ResNet with BatchNorm, which amplifies it most of the zoo.
TOLERANCE = 1e-6

Losses = list[float]
Variant = Callable[[Work], Losses]


class DifferentWorkError(Exception):
    """Variants did not end with the same losses."""


@dataclass(frozen=True, kw_only=True)
class Spent:
    """Seconds that a round of a variant took, and the share of them that a GPU was busy."""

    cpu: float
    wall: float
    busy: float | None


@dataclass(frozen=True, kw_only=True)
class Bench:
    """A task, the study that its recipes are trained in, and where."""

    reference: str
    spec: StudySpec
    cache: TaskCache
    work: Work


def make_bench(reference: str, trials: int, epochs: int, device: torch.device) -> Bench:
    """Raises TaskError unless the task can be trained and its data are tensors."""
    loaded = find(reference)
    task = loaded.make()
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
    look = try_task(task, spec, device)
    spec = with_rung_samples(
        spec,
        steps_per_epoch=look.steps_per_epoch,
        batch_size=task.batch_size,
        whole=look.validation_samples,
        labels=look.labels,
    )
    work = Work(task=task, recipes=recipes(spec, trials), device=device)
    return Bench(reference=reference, spec=spec, cache=TaskCache(loaded, device), work=work)


def find(reference: str) -> LoadedTask:
    """The task of FILE.py:attribute, the file relative to the current folder or absolute."""
    place, _, attribute = reference.rpartition(":")
    if place.endswith(".py"):
        return load_task(f"{Path(place).name}:{attribute}", Path(place).parent)
    return load_task(reference, Path())


def variants(bench: Bench, sizes: Sequence[int]) -> dict[str, Variant]:
    """The loops by name; trials at once are `sizes`, of which 1 is the solo engine."""

    def ours(size: int) -> Variant:
        def make(work: Work) -> Engine:
            return engine_of(bench.spec, bench.cache, work.recipes[0], size)

        return lambda work: train_all(lambda: make(work), work.recipes)

    names = {size: "solo" if size == 1 else f"fused_{size}" for size in sizes}
    return {
        "usual": usual,
        "best_solo": best_solo,
        **{name: ours(size) for size, name in names.items()},
    }


def run_round(
    title: str, every: Mapping[str, Variant], work: Work, *, first: int
) -> tuple[dict[str, Losses], dict[str, Spent]]:
    """Each variant once, the `first` first: its losses, and what it took."""
    losses, spent = {}, {}
    names = [*every]
    for name in names[first % len(names) :] + names[: first % len(names)]:
        log(f"{title}: {name}")
        shares: list[float] = []
        cpu, wall = time.process_time(), time.perf_counter()
        with busy(work.device, shares):
            losses[name] = every[name](work)
            if work.device.type == "cuda":
                torch.cuda.synchronize(work.device)
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        spent[name] = Spent(cpu=cpu, wall=wall, busy=shares[0] if shares else None)
    return losses, spent


def warm_up(title: str, bench: Bench, sizes: Sequence[int]) -> dict[str, Losses]:
    """The losses of a round in which cohorts record their steps, as they do once in a study."""
    with bench.cache.recordings(bench.work.recipes[0]).at_once():
        return run_round(title, variants(bench, sizes), bench.work, first=0)[0]


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
        losses = warm_up("check in float64", in_float64(bench), sizes)
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
