"""Where the time of a cohort goes: CPU microseconds of each part, per trial and step.

N recipes of throughput.py are trained N at once on one thread, as throughput.py trains them. Parts
are timed from outside, each without the parts inside of it; that costs about 1 us a call, so the
first line says what a trial takes without. One cohort before warms up and records its step.

Run it: python benchmarks/step_profile.py --task studies/digits.py:task --at-once 8
"""

import argparse
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial, wraps
from statistics import median
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from engine_loops import engine_of, train_all
from throughput_rounds import make_bench

from lrsearch import LrsearchError
from lrsearch.training.bare_kernels import BareKernels
from lrsearch.training.fused.batches import CohortBatches
from lrsearch.training.fused.cohort import Cohort
from lrsearch.training.fused.cohort_validation import CohortModels
from lrsearch.training.fused.program import Program
from lrsearch.training.pooling.totals import Totals
from lrsearch.training.trial_training import TrialTraining

#: What is timed, and what it is called.
PARTS: tuple[tuple[type, str, str], ...] = (
    (Program, "gradients", "forward and backward passes"),
    (BareKernels, "step", "optimizers' kernels"),
    (Program, "average", "weight averages"),
    (CohortBatches, "next", "batches"),
    (TrialTraining, "conclude_step", "schedulers and counters"),
    (TrialTraining, "prepare_gradients", "norms of gradients"),
    (Cohort, "advance", "other Python of steps"),
    (CohortModels, "each", "validation: forward passes"),
    (Totals, "add", "validation: losses and metrics"),
    (Cohort, "validate", "validation: the rest"),
    (Cohort, "admit", "beginning a trial"),
)


@dataclass
class Part:
    calls: int = 0
    #: CPU time without what is timed inside.
    own: float = 0.0


class Profile:
    """Times of parts, by what they are called."""

    def __init__(self) -> None:
        self.parts = {label: Part() for _, _, label in PARTS}
        #: Of the calls that are open, what was timed inside of them.
        self._inside: list[float] = []

    def watch(self, owner: type, name: str, label: str) -> None:
        call: Callable[..., Any] = getattr(owner, name)
        part = self.parts[label]

        @wraps(call)
        def timed(*args: Any, **kwargs: Any) -> Any:
            started = time.thread_time()
            self._inside.append(0.0)
            try:
                return call(*args, **kwargs)
            finally:
                spent = time.thread_time() - started
                part.calls += 1
                part.own += spent - self._inside.pop()
                if self._inside:
                    self._inside[-1] += spent

        setattr(owner, name, timed)


def cpu_seconds(call: Callable[[], Any]) -> float:
    started = time.process_time()
    call()
    return time.process_time() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--task", required=True, help="FILE.py:attribute, a Task of tensors")
    parser.add_argument("--at-once", type=int, default=8, help="trials (8)")
    parser.add_argument("--epochs", type=int, default=3, help="epochs of each (3)")
    parser.add_argument("--rounds", type=int, default=5, help="cohorts that count (5)")
    options = parser.parse_args()
    for name in ("at_once", "epochs", "rounds"):
        if (value := getattr(options, name)) < 1:
            parser.error(f"--{name.replace('_', '-')} {value}: at least 1 is needed")
    torch.set_num_threads(1)
    try:
        measure(options)
    except LrsearchError as error:
        sys.exit(f"Error: {error}")


def measure(options: argparse.Namespace) -> None:
    """Train the cohorts, and print what each part takes."""
    size = options.at_once
    bench = make_bench(options.task, size, options.epochs, torch.device("cpu"))
    work = bench.work
    make = partial(engine_of, bench.spec, bench.cache, work.recipes[0], size)
    train = partial(train_all, make, work.recipes)
    with bench.cache.recordings(work.recipes[0]).at_once():
        train()
    alone = median(cpu_seconds(train) for _ in range(options.rounds))
    profile = Profile()
    for owner, name, label in PARTS:
        profile.watch(owner, name, label)
    for _ in range(options.rounds):
        train()
    steps = work.recipes[0].total_steps(work.steps_per_epoch)
    print(f"{size} at once, {steps} steps: {1000 * alone / size:.1f} ms of CPU a trial\n")
    print(f"{'':34}{'calls':>8}{'us/trial-step':>16}{'ms/trial':>12}")
    for label, part in profile.parts.items():
        per_trial = part.own / options.rounds / size
        print(
            f"{label:34}{part.calls // options.rounds:8}{1e6 * per_trial / steps:16.1f}"
            f"{1e3 * per_trial:12.2f}"
        )


if __name__ == "__main__":
    main()
