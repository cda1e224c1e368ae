"""What compiling a step brings: CPU time of whole training steps, recorded and compiled.

Trials alone and in a cohort take a number of steps with the recorded step repeated and the same
number with a compiled one; the two take turns on one core, and the clock is process CPU time.
lrsearch itself compiles the steps of trials alone only. The first compilation of a machine includes
what torch's compiler asks of the processor; --fresh compiles into an empty folder each time.

Run it: python benchmarks/compiled.py --tasks studies/digits.py:task benchmarks/zoo.py:tiny_gpt
"""

import argparse
import math
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Hashable
from contextlib import nullcontext
from dataclasses import dataclass
from unittest.mock import patch

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from overhead import Spread, processor
from throughput import pin
from throughput_rounds import Bench, in_float64, make_bench
from torch import Tensor

from lrsearch import LrsearchError, Recipe
from lrsearch.training.compiled_step import CACHE, CompiledSteps
from lrsearch.training.engine import Engine
from lrsearch.training.failures import CohortError
from lrsearch.training.recorded_step import Known, Recordings
from lrsearch.training.same_step import Arguments, Result
from lrsearch.training.task_cache import TaskCache
from lrsearch.training.timing.measure import new_engine, obstacle, tamed

#: Seconds of a round of each way.
ROUND_SECONDS = 0.2


class CompiledRecordings(Recordings):
    """Cohorts with these have compiled steps, where they can be compiled."""

    def __init__(self, steps: CompiledSteps) -> None:
        super().__init__()
        self.steps = steps

    def write(
        self,
        key: Hashable,
        function: Callable[..., Result],
        arguments: Arguments,
        into: list[Tensor],
        data: Known,
    ) -> Tensor:
        if key not in self._written:
            self._written[key] = self.steps.step(key, function, arguments, into)
            if self._written[key] is None:
                raise CohortError(str(self.steps.reason))
        return super().write(key, function, arguments, into, data)


class CompiledCache(TaskCache):
    """The same task, whose cohorts have compiled steps."""

    def __init__(self, cache: TaskCache) -> None:
        super().__init__(cache.loaded, cache.device)
        self.steps = CompiledSteps()

    def recordings(self, recipe: Recipe) -> Recordings:
        return CompiledRecordings(self.steps)

    def compiled_steps(self, recipe: Recipe) -> CompiledSteps:
        return self.steps


@dataclass(frozen=True, kw_only=True)
class Row:
    """Seconds of a trial-step each way; how many times as fast compiled steps are; their cost."""

    recorded: Spread
    compiled: Spread
    ratio: Spread
    compile_wall: float
    compile_cpu: float
    difference: float

    @property
    def words(self) -> str:
        saved = self.recorded.median - self.compiled.median
        after = self.compile_cpu / saved if saved > 0 else math.inf
        ratio = f"{self.ratio.median:.2f} ({self.ratio.low:.2f}..{self.ratio.high:.2f})"
        return (
            f"{1e6 * self.recorded.median:10.0f}{1e6 * self.compiled.median:10.0f}{ratio:>20}"
            f"{self.compile_wall:8.1f}{self.compile_cpu:8.1f}{after:12.3g}{self.difference:10.1g}"
        )


def cpu_with_children() -> float:
    """CPU seconds of this process and of the compilers that it has started."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def filled(bench: Bench, cache: TaskCache, size: int, *, compiles: bool) -> Engine:
    """An engine with trials in all its places, which has made its first steps."""
    recipes = [tamed(recipe) for recipe in bench.work.recipes[:size]]
    engine = new_engine(bench.spec, cache, recipes[0], size, compiles=compiles)
    for recipe in recipes:
        engine.admit(recipe)
    advance(engine, 3)
    return engine


def advance(engine: Engine, steps: int) -> None:
    goal = engine.trainings[0].step + steps
    while engine.trainings[0].step < goal:
        engine.advance(goal - engine.trainings[0].step)


def measure(bench: Bench, size: int, rounds: int) -> Row:
    """Raises CohortError where there is no such cohort, or its step is not compiled."""
    reason = obstacle(bench.cache, bench.work.recipes[0])[0] if size > 1 else None
    if reason is not None:
        raise CohortError(reason)
    with bench.cache.recordings(bench.work.recipes[0]).at_once():
        recorded = filled(bench, bench.cache, size, compiles=False)
    cache, cpu = CompiledCache(bench.cache), cpu_with_children()
    compiled = filled(bench, cache, size, compiles=size == 1)
    cpu = cpu_with_children() - cpu
    if cache.steps.reason is not None:
        raise CohortError(cache.steps.reason)
    times: dict[bool, list[float]] = {False: [], True: []}
    count = max(1, round(ROUND_SECONDS / step_seconds(recorded, 5)))
    for number in range(rounds):
        for compiles in (number % 2 == 0, number % 2 == 1):
            engine = compiled if compiles else recorded
            times[compiles].append(step_seconds(engine, count) / size)
    return Row(
        recorded=Spread.of(times[False]),
        compiled=Spread.of(times[True]),
        ratio=Spread.of([a / b for a, b in zip(times[False], times[True], strict=True)]),
        compile_wall=cache.steps.seconds,
        compile_cpu=cpu,
        difference=cache.steps.difference,
    )


def step_seconds(engine: Engine, count: int) -> float:
    started = time.process_time()
    advance(engine, count)
    return (time.process_time() - started) / count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--tasks", nargs="+", required=True, help="FILE.py:attribute of tensors")
    parser.add_argument("--at-once", nargs="+", type=int, default=[1, 8], help="trials (1 8)")
    parser.add_argument("--rounds", type=int, default=9, help="of each way (9)")
    parser.add_argument("--float64", action="store_true", help="weights and data in float64")
    parser.add_argument("--fresh", action="store_true", help="compile into an empty folder")
    options = parser.parse_args()
    for name, values in (("at-once", options.at_once), ("rounds", [options.rounds])):
        if (value := min(values)) < 1:
            parser.error(f"--{name} {value}: at least 1 is needed")
    torch.set_num_threads(1)
    pin()
    print(f"{processor()}, torch {torch.__version__}, 1 thread")
    print("CPU us a trial-step; how many times as fast; seconds of compiling, by the wall and CPU;")
    print("trial-steps after which it is paid; the largest difference from the model's own step\n")
    heads = ("recorded", "compiled")
    print(
        f"{'':34}{'K':>4}{heads[0]:>10}{heads[1]:>10}{'compiled is':>20}{'wall s':>8}{'CPU s':>8}"
        f"{'paid after':>12}{'differs':>10}"
    )
    try:
        for reference in options.tasks:
            table(reference, options)
    except LrsearchError as error:
        sys.exit(f"Error: {error}")


def table(reference: str, options: argparse.Namespace) -> None:
    """Print the rows of a task."""
    standard = torch.get_default_dtype()
    for size in options.at_once:
        bench = make_bench(reference, max(8, size), 3, torch.device("cpu"))
        with tempfile.TemporaryDirectory() as folder:
            fresh = patch.dict(os.environ, {CACHE: folder}) if options.fresh else nullcontext()
            torch.set_default_dtype(torch.float64 if options.float64 else standard)
            try:
                with fresh:
                    wide = in_float64(bench) if options.float64 else bench
                    words = measure(wide, size, options.rounds).words
            except CohortError as reason:
                words = f"  -  {str(reason)[:90]}"
            finally:
                torch.set_default_dtype(standard)
        print(f"{reference:34}{size:4}{words}", flush=True)


if __name__ == "__main__":
    main()
