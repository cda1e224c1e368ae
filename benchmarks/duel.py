"""Whole studies beside the plain user at equal epochs, everything charged.

lrsearch as it comes (range test, search, audit and confirmation out of one budget), a plain Optuna
user and random search: the same task, loop, data and horizon. What each recommends is trained with
five seeds that no method used, the same for all; their mean validation loss is what counts.
"""

import argparse
import json
import logging
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from duel_hardship import HARDSHIPS
from duel_methods import FREE, Method, lrsearch, plain, random_search
from duel_plot import plot_regret
from duel_record import Record, Row
from duel_rivals import absent, ray_asha, syne_asha
from duel_summary import hardship_summary, hardship_text, summary, text
from duel_training import JUDGES, Problem

from lrsearch import LrsearchError

EXAMPLE = """\
Example:
  python benchmarks/duel.py --task studies/digits.py:task --epochs 30 --resume digits.jsonl
"""


@dataclass(frozen=True, kw_only=True)
class Contender:
    method: Method
    #: The names of what it finds for each budget; by the first it is asked for.
    columns: tuple[str, ...]


CONTENDERS = {
    "lrsearch": Contender(method=lrsearch, columns=("lrsearch",)),
    "plain": Contender(method=plain, columns=("plain", FREE)),
    "random": Contender(method=random_search, columns=("random",)),
    "ray": Contender(method=ray_asha, columns=("ray",)),
    "syne": Contender(method=syne_asha, columns=("syne",)),
    **{name: Contender(method=method, columns=(name,)) for name, method in HARDSHIPS.items()},
}


def run(
    problem: Problem,
    record: Record,
    contenders: Sequence[Contender],
    budgets: Sequence[int],
    seeds: Sequence[int],
) -> None:
    """Find and judge what the record does not have yet, seed by seed."""
    started = time.monotonic()
    jobs = [(seed, contender) for seed in seeds for contender in contenders]
    waiting = [(s, c) for s, c in jobs if not _is_done(record, c, budgets, s)]
    for number, (seed, contender) in enumerate(waiting, start=1):
        for found in contender.method(problem, seed, budgets):
            if record.has(found.method, seed, found.budget):
                continue
            row = Row.of(seed, found, problem.judge(found.recipe))
            # What lies on top of the budget by its name does so here too.
            most = found.budget * problem.epochs
            assert row.spent <= most + 1e-6 or found.method == FREE, (row.spent, most)
            record.add(row)
            log(f"seed {seed}, {found.method} at {found.budget}x: {row.value:.4f}")
        left = (time.monotonic() - started) / number * (len(waiting) - number)
        log(f"{number} of {len(waiting)} done, about {left / 60:.0f} min left")


def _is_done(record: Record, contender: Contender, budgets: Sequence[int], seed: int) -> bool:
    return all(record.has(name, seed, b) for name in contender.columns for b in budgets)


def log(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def measure(options: argparse.Namespace) -> dict[str, Any]:
    problem = Problem(reference=options.task, epochs=options.epochs)
    duel = {"task": options.task, "epochs": options.epochs, "judges": list(JUDGES)}
    record = Record(duel, options.resume)
    seeds = range(options.seeds)
    if options.hardship is not None:
        pair = [CONTENDERS["lrsearch"], CONTENDERS[options.hardship]]
        run(problem, record, pair, [options.budget], seeds)
        return {**duel, **hardship_summary(record, options.hardship, options.budget, seeds)}
    budgets = [options.budget // 4, options.budget // 2, options.budget]
    contenders = [CONTENDERS[name] for name in ("lrsearch", *options.against)]
    run(problem, record, contenders, budgets, seeds)
    columns = [column for contender in contenders for column in contender.columns]
    return {**duel, **summary(record, columns, budgets, seeds)}


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").partition("\n\n")[0],
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--task", required=True, metavar="FILE.py:attr", help="as in a study file")
    parser.add_argument("--epochs", type=int, required=True, help="horizon of a trial")
    parser.add_argument("--seeds", type=int, default=8, help="studies of each method (8)")
    parser.add_argument(
        "--budget",
        type=int,
        default=20,
        help="largest budget in trial equivalents; a quarter and half of it are run too (20)",
    )
    parser.add_argument(
        "--against",
        default="plain,random",
        help="plain, random, ray, syne, with commas between them (plain,random)",
    )
    parser.add_argument(
        "--hardship", choices=HARDSHIPS, help="in place of others: lrsearch's own study, disturbed"
    )
    parser.add_argument("--resume", type=Path, metavar="FILE", help="keep results; go on with them")
    parser.add_argument("--plot", type=Path, metavar="PNG", help="draw value over budget")
    parser.add_argument("--json", action="store_true", help="one JSON document instead of tables")
    options = parser.parse_args()
    for name, least in (("epochs", 1), ("seeds", 1), ("budget", 8)):
        if getattr(options, name) < least:
            parser.error(f"--{name} {getattr(options, name)}: at least {least} is needed")
    names = [name for name in options.against.split(",") if name]
    for name in names:
        if name not in ("plain", "random", "ray", "syne"):
            parser.error(f"--against {name}: plain, random, ray and syne are accepted")
    for name in [name for name in names if absent(name)]:
        log(f"{name} is left out: {absent(name)}")
    options.against = [name for name in names if not absent(name)]
    return options


def main() -> None:
    options = parse_options()
    torch.set_num_threads(1)
    logging.getLogger("lrsearch").setLevel(logging.ERROR)
    try:
        result = measure(options)
    except LrsearchError as error:
        sys.exit(f"Error: {error}")
    if options.plot is not None and options.hardship is None:
        plot_regret(result, options.plot)
    if options.json:
        print(json.dumps(result))
    else:
        print(text(result) if options.hardship is None else hardship_text(result))


if __name__ == "__main__":
    main()
