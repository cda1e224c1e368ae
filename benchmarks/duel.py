"""Whole studies beside the plain user at equal epochs, everything charged.

lrsearch as it comes (range test, search, audit and confirmation out of one budget), variants of it
that say what a part contributes, and a plain Optuna user: the same task, loop, data and horizon.
What each recommends is trained with eight seeds that no method used, the same for all; their mean
validation loss is what counts.
"""

import argparse
import json
import logging
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from duel_hardship import HARDSHIPS
from duel_methods import (
    CAREFUL,
    PORTFOLIO_ALONE,
    Found,
    Method,
    careful_budgets,
    lrsearch,
    plain,
    portfolio_alone,
    random_search,
)
from duel_plot import plot_regret
from duel_record import Record, Row
from duel_rivals import absent, ray_asha, syne_asha
from duel_summary import hardship_summary, hardship_text, standings, summary, text
from duel_task_file import DuelTask, read_tasks
from duel_training import JUDGES, Problem, Verdict
from duel_variants import USUAL, variant

from lrsearch import LrsearchError
from lrsearch.range_test.plan import MOST_SHARE

EXAMPLE = """\
Examples:
  python benchmarks/duel.py --tasks benchmarks/duel_tasks/small.yaml --resume records
  python benchmarks/duel.py --task studies/digits.py:task --epochs 30 --variant ema=none
"""


@dataclass(frozen=True, kw_only=True)
class Contender:
    method: Method
    #: Names of what it finds, and at which of the duel's budgets.
    columns: Callable[[Sequence[int]], dict[str, Sequence[int]]]
    #: Whether studies of all seeds are trained together, each to the largest budget.
    together: bool = False


def _alone(name: str, method: Method, *, together: bool = False) -> Contender:
    return Contender(method=method, columns=lambda budgets: {name: budgets}, together=together)


CONTENDERS = {
    "lrsearch": _alone("lrsearch", lrsearch),
    PORTFOLIO_ALONE: _alone(PORTFOLIO_ALONE, portfolio_alone, together=True),
    "plain": Contender(
        method=plain,
        columns=lambda budgets: {"plain": budgets, CAREFUL: careful_budgets(budgets)},
        together=True,
    ),
    "random": _alone("random", random_search, together=True),
    "ray": _alone("ray", ray_asha, together=True),
    "syne": _alone("syne", syne_asha, together=True),
    **{name: _alone(name, method) for name, method in HARDSHIPS.items()},
}


def most_epochs(found: Found, problem: Problem) -> float:
    """What a method may spend: beside fewer than ten runs lrsearch has its range tests."""
    whole = float(found.budget * problem.epochs)
    return whole + min(found.epochs.get("range_test", 0.0), MOST_SHARE * whole)


def run(
    problem: Problem,
    record: Record,
    contenders: Sequence[Contender],
    budgets: Sequence[int],
    seeds: Sequence[int],
) -> None:
    """Find and judge what the record does not have yet."""
    for row in record.rows:
        problem.remember(row.recipe, Verdict(values=tuple(row.judged), metrics=row.metrics))
    jobs = _jobs(record, contenders, budgets, seeds)
    started = time.process_time()
    for number, (contender, of_seeds, of_budgets) in enumerate(jobs, start=1):
        for found in contender.method(problem, of_seeds, of_budgets):
            if record.has(found.method, found.seed, found.budget):
                continue
            row = Row.of(found, problem.judge(found.recipe))
            assert row.spent <= most_epochs(found, problem) + 1e-6, (row.method, row.spent)
            record.add(row)
            log(f"seed {row.seed}, {row.method} at {row.budget}x: {row.value:.5g}")
        spent = time.process_time() - started
        log(f"{number} of {len(jobs)} done after {spent:.0f} s of CPU time")


def _jobs(
    record: Record, contenders: Sequence[Contender], budgets: Sequence[int], seeds: Sequence[int]
) -> list[tuple[Contender, list[int], list[int]]]:
    """What to call each method with: those whose studies are trained together come first."""

    def missing(contender: Contender, seed: int) -> list[int]:
        """Budgets at which a study of this seed has something left to find."""
        columns = contender.columns(budgets).items()
        wanted = {b for name, own in columns for b in own if not record.has(name, seed, b)}
        return list(budgets) if wanted and contender.together else sorted(wanted)

    jobs = []
    for contender in contenders:
        if contender.together:
            jobs.append((contender, [s for s in seeds if missing(contender, s)], list(budgets)))
    for seed in seeds:
        for contender in contenders:
            if not contender.together:
                jobs.append((contender, [seed], missing(contender, seed)))
    return [job for job in jobs if job[1] and job[2]]


def log(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def measure(task: DuelTask, options: argparse.Namespace, resume: Path | None) -> dict[str, Any]:
    """What a task's duel says."""
    problem = Problem(reference=task.reference, epochs=task.epochs, together=task.together)
    duel = {"task": task.name, "epochs": task.epochs, "judges": list(JUDGES)}
    record = Record(duel, resume)
    about = {**duel, "task": task.reference}
    seeds = range(options.seeds)
    if options.hardship is not None:
        pair = [CONTENDERS["lrsearch"], CONTENDERS[options.hardship]]
        run(problem, record, pair, [options.budget], seeds)
        return {**about, **hardship_summary(record, options.hardship, options.budget, seeds)}
    budgets = [options.budget // 4, options.budget // 2, options.budget]
    run(problem, record, options.contenders, budgets, seeds)
    columns = [name for c in options.contenders for name in c.columns(budgets)]
    return {**about, **summary(record, columns, budgets, seeds)}


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").partition("\n\n")[0],
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--tasks", type=Path, metavar="FILE.yaml", help="several, with horizons")
    parser.add_argument("--only", default="", help="names of --tasks, with commas between them")
    parser.add_argument("--task", metavar="FILE.py:attr", help="one, as in a study file")
    parser.add_argument("--epochs", type=int, help="horizon of a trial of --task")
    parser.add_argument("--seeds", type=int, default=8, help="studies of each method (8)")
    parser.add_argument(
        "--budget",
        type=int,
        default=20,
        help="largest budget in trial equivalents; a quarter and half of it are run too (20)",
    )
    parser.add_argument(
        "--against",
        default="plain",
        help="plain, random, ray, syne, with commas between them (plain)",
    )
    parser.add_argument(
        "--variant",
        action="append",
        metavar="FIELD=VALUE",
        help="lrsearch with another field of the study file, beside it; may be given again. "
        f"'portfolio alone' trains its recipes and nothing else; 'none' is lrsearch as it comes "
        f"({PORTFOLIO_ALONE}, {', '.join(USUAL)})",
    )
    parser.add_argument(
        "--hardship", choices=HARDSHIPS, help="in place of others: lrsearch's own study, disturbed"
    )
    parser.add_argument(
        "--resume",
        type=Path,
        metavar="PATH",
        help="keep results and go on with them: a file; with --tasks, a folder of them",
    )
    parser.add_argument("--plot", type=Path, metavar="PNG", help="draw value over budget")
    parser.add_argument("--json", action="store_true", help="one JSON document instead of tables")
    options = parser.parse_args()
    _check(parser, options)
    return options


def _check(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    if (options.task is None) == (options.tasks is None):
        parser.error("give --tasks FILE.yaml, or --task FILE.py:attr with --epochs")
    if (options.task is None) != (options.epochs is None):
        parser.error("--epochs is the horizon of --task; a file of --tasks has its own")
    if options.hardship is not None and options.tasks is not None:
        parser.error("--hardship takes one --task")
    for name, least in (("epochs", 1), ("seeds", 1), ("budget", 8)):
        value = getattr(options, name)
        if value is not None and value < least:
            parser.error(f"--{name} {value}: at least {least} is needed")
    names = [name for name in options.against.split(",") if name]
    for name in names:
        if name not in ("plain", "random", "ray", "syne"):
            parser.error(f"--against {name}: plain, random, ray and syne are accepted")
    for name in [name for name in names if absent(name)]:
        log(f"{name} is left out: {absent(name)}")
    options.against = [name for name in names if not absent(name)]


def contenders(options: argparse.Namespace) -> list[Contender]:
    """Raises VariantError, SpecError."""
    variants = options.variant or [PORTFOLIO_ALONE, *USUAL]
    found = [CONTENDERS[name] for name in (*options.against, "lrsearch")]
    for name in variants:
        if name == PORTFOLIO_ALONE:
            found.append(CONTENDERS[name])
        elif name != "none":
            found.append(_alone(name, variant(name)))
    return found


def chosen_tasks(options: argparse.Namespace) -> list[DuelTask]:
    """Raises SpecError or TaskFileError of a file, LrsearchError of a name that it has not."""
    if options.tasks is None:
        return [DuelTask(name=options.task, reference=options.task, epochs=options.epochs)]
    tasks = read_tasks(options.tasks)
    names = [name for name in options.only.split(",") if name]
    known = [task.name for task in tasks]
    for name in names:
        if name not in known:
            raise LrsearchError(f"--only {name}: {options.tasks} has {', '.join(known)}")
    return [task for task in tasks if not names or task.name in names]


def duel(options: argparse.Namespace) -> dict[str, Any]:
    """What all tasks say."""
    options.contenders = contenders(options)
    found = {}
    for task in chosen_tasks(options):
        resume = options.resume
        if resume is not None and options.tasks is not None:
            resume.mkdir(parents=True, exist_ok=True)
            resume = resume / f"{task.name}.jsonl"
        log(f"{task.name}:")
        found[task.name] = measure(task, options, resume)
    if options.hardship is not None:
        return next(iter(found.values()))
    return {"tasks": found, "standings": standings(found)}


def main() -> None:
    options = parse_options()
    torch.set_num_threads(1)
    logging.getLogger("lrsearch").setLevel(logging.ERROR)
    try:
        result = duel(options)
    except LrsearchError as error:
        sys.exit(f"Error: {error}")
    if options.plot is not None and options.hardship is None:
        plot_regret(result["tasks"], options.plot)
    if options.json:
        print(json.dumps(result))
    else:
        print(text(result) if options.hardship is None else hardship_text(result))


if __name__ == "__main__":
    main()
