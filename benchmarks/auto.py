"""Whether the engine that lrsearch chooses is as fast as the best one-by-one loop, task by task.

For each task and horizon some recipes are trained by the usual loop, by the best one-by-one loop
and by lrsearch with what its own calibration chooses (`auto`): weight averages, validations at
rungs and bookkeeping included, probe and calibration not. Loops and recipes are those of
throughput.py; of several at once, as many as fill all places. The clock is process CPU time of one
core; the three take turns within a round, and ratios are within one round. Round 0 warms up: steps
are recorded in it, as once in a study.

Run it: python benchmarks/auto.py --epochs 1 5 30
"""

import argparse
import ast
import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from statistics import median

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from engine_loops import choose
from overhead import Spread, log, processor, ratio, shown
from own_process import Loops, OwnProcess
from plain_loops import Work, best_solo, usual
from throughput import pin
from throughput_rounds import Bench, diverging, find, make_bench, variants, warm_up

from lrsearch import LrsearchError, Recipe
from lrsearch.training.heap import prepare_heap

HERE = Path(__file__).resolve().parent
SHIPPED = ("digits", "diabetes", "fashion_mnist")
#: What a task is trained by beside lrsearch, and the share of the best loop's speed that is asked.
BASELINES, BAR = ("usual", "best_solo"), 0.97
#: Recipes of a task: as many as its time allows, within these.
FEWEST, MOST = 2, 16


@dataclass(frozen=True, kw_only=True)
class Row:
    """A task at a horizon."""

    task: str
    epochs: int
    recipes: int
    #: `one by one`, or how many at once.
    engine: str
    rounds: int
    #: How many times as fast as each baseline.
    usual: Spread
    best: Spread

    @property
    def line(self) -> str:
        mark = "" if self.best.median >= BAR else "  below"
        return (
            f"{self.task:20}{self.epochs:7}{self.recipes:9}{self.engine:>14}"
            f"{shown(asdict(self.usual)):>21}{shown(asdict(self.best)):>21}{mark}"
        )


def references() -> dict[str, str]:
    """All shipped studies and all tasks of the zoo that are one public function, by name."""
    tree = ast.parse((HERE / "zoo.py").read_text())
    zoo = [
        node.name
        for node in tree.body
        if isinstance(node, ast.FunctionDef)
        and not node.args.args
        and isinstance(node.returns, ast.Attribute)
        and node.returns.attr == "Task"
    ]
    shipped = {name: f"{HERE.parent / 'studies' / name}.py:task" for name in SHIPPED}
    return {**shipped, **{name: f"{HERE / 'zoo.py'}:{name}" for name in zoo}}


def measure(task: str, reference: str, epochs: int, seconds: float, rounds: int) -> Row:
    bench = make_bench(reference, MOST, epochs, torch.device("cpu"))
    bench = fewer(bench, affordable(bench, seconds / (rounds + 1)))
    work = bench.work
    choice = choose(bench.spec, bench.cache, work.recipes, epochs * work.steps_per_epoch)
    size = 1 if choice.size > len(work.recipes) else choice.size
    auto = "solo" if size == 1 else f"fused_{size}"
    losses = warm_up(f"{task}, {epochs} epochs: round 0", bench, sorted({1, size}))
    lost = diverging(losses)
    bench = replace(bench, work=kept(work, lost))
    clock = in_turns(f"{task}, {epochs} epochs", bench, auto, rounds)
    return Row(
        task=task,
        epochs=epochs,
        recipes=len(bench.work.recipes),
        engine="one by one" if size == 1 else f"{size} at once",
        rounds=rounds,
        usual=ratio(clock["usual"], clock[auto]),
        best=ratio(clock["best_solo"], clock[auto]),
    )


def in_turns(title: str, bench: Bench, auto: str, rounds: int) -> dict[str, list[float]]:
    """Seconds of the loops and of lrsearch, by name, round by round.

    A first round is left out, in which both processes get their memory.
    """
    names = [*BASELINES, auto]
    clock: dict[str, list[float]] = {name: [] for name in names}
    work = bench.work
    alone = partial(loops_alone, bench.reference, work.recipes)
    ours = partial(as_worker, bench.reference, bench.spec.epochs, work.recipes, auto)
    with OwnProcess(alone) as loops, OwnProcess(ours) as worker:
        for number in range(rounds + 1):
            for name in names[number % 3 :] + names[: number % 3]:
                log(f"{title}: round {number} of {rounds}: {name}")
                clock[name].append((worker if name == auto else loops).run(name).cpu)
    return {name: seconds[1:] for name, seconds in clock.items()}


def loops_alone(reference: str, trials: Sequence[Recipe]) -> Loops:
    """The loops without lrsearch."""
    torch.set_num_threads(1)
    work = Work(task=find(reference).make(), recipes=trials, device=torch.device("cpu"))
    return {"usual": partial(usual, work), "best_solo": partial(best_solo, work)}


def as_worker(
    reference: str, epochs: int, trials: Sequence[Recipe], auto: str, prepare: bool = True
) -> Loops:
    """lrsearch in a process set up as a worker's, its heap too if `prepare`; steps recorded."""
    torch.set_num_threads(1)
    if prepare:
        prepare_heap()
    bench = make_bench(reference, MOST, epochs, torch.device("cpu"))
    work = replace(bench.work, recipes=trials)
    size = 1 if auto == "solo" else int(auto.removeprefix("fused_"))
    train = partial(variants(bench, [size])[auto], work)
    with bench.cache.recordings(trials[0]).at_once():
        train()
    return {auto: train}


def affordable(bench: Bench, seconds: float) -> int:
    """How many recipes a round of the best loop can train in about so many seconds."""
    one = kept(bench.work, range(1, len(bench.work.recipes)))
    best_solo(one)  # loads what a process loads once
    started = time.process_time()
    best_solo(one)
    spent = time.process_time() - started
    return max(FEWEST, min(MOST, int(seconds / spent)))


def fewer(bench: Bench, count: int) -> Bench:
    return replace(bench, work=kept(bench.work, range(count, len(bench.work.recipes))))


def kept(work: Work, left_out: Sequence[int]) -> Work:
    recipes = [recipe for i, recipe in enumerate(work.recipes) if i not in left_out]
    return replace(work, recipes=recipes)


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    names = list(references())
    parser.add_argument("--tasks", nargs="+", choices=names, default=names, metavar="TASK")
    parser.add_argument("--epochs", nargs="+", type=int, default=[1, 5, 30], metavar="N")
    parser.add_argument(
        "--seconds", type=float, default=10, help="of the best loop for each row (10)"
    )
    parser.add_argument("--rounds", type=int, default=5, help="rounds that count (5)")
    parser.add_argument("--json", action="store_true", help="one JSON document instead of a table")
    options = parser.parse_args()
    if min(*options.epochs, options.rounds) < 1 or options.seconds <= 0:
        parser.error("--epochs, --rounds and --seconds: numbers above 0 are needed")
    return options


def main() -> None:
    options = parse_options()
    torch.set_num_threads(1)
    pin()
    prepare_heap()  # as a worker does before it chooses
    rows = []
    head = f"{processor()}, torch {torch.__version__}, 1 thread; {options.rounds} rounds in turn"
    if not options.json:
        print(f"{head}, CPU time; median (lowest..highest), above 1 lrsearch is faster\n")
        print(f"{'task':20}{'epochs':>7}{'recipes':>9}{'auto':>14}{'to usual':>21}{'to best':>21}")
    for task in options.tasks:
        for epochs in options.epochs:
            try:
                row = measure(task, references()[task], epochs, options.seconds, options.rounds)
            except LrsearchError as error:
                sys.exit(f"Error: {error}")
            rows.append(row)
            if not options.json:
                print(row.line, flush=True)
    if options.json:
        print(json.dumps({"processor": processor(), "rows": [asdict(row) for row in rows]}))
        return
    below = sum(row.best.median < BAR for row in rows)
    low = median(row.best.median for row in rows)
    print(f"\n{below} of {len(rows)} below {BAR} of the best loop; median {low:.2f}")


if __name__ == "__main__":
    main()
