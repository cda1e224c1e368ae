"""A pool of recorded runs: good recipes of a real search on digits, each on many fresh seeds.

`confirmation.py` draws studies from it.
"""

import gzip
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from share import STUDIES, run_study

from lrsearch import Recipe, StudySpec
from lrsearch.confirmation.candidates import Candidate, ranked, smoothed_score
from lrsearch.spec.trial_value import best_validation, objective_value
from lrsearch.storage import curves, trials
from lrsearch.study.open_study import OpenStudy
from lrsearch.study.prepare_database import open_database
from lrsearch.task.find import load_task
from lrsearch.training.fused.cohort import Cohort
from lrsearch.training.task_cache import TaskCache
from lrsearch.trial.curve import Validation

#: Seeds of the runs begin here, far from the search's.
FIRST_SEED = 1000
#: Steps between looks at who is due.
STEPS = 64
#: Trials of the search that finds the recipes, for each of them.
TRIALS_PER_RECIPE = 5


def good_recipes(spec: StudySpec, count: int) -> list[dict[str, Any]]:
    """The best few of a study, by their smoothed scores."""
    with tempfile.TemporaryDirectory(prefix="pool-") as folder:
        run_study(spec, 8, Path(folder))
        database = open_database(f"sqlite:///{Path(folder) / 'study.db'}", create=False)
        search = OpenStudy.open(database, spec.name)
        with database.read() as connection:
            rows = trials.everything(connection, search.study_id)
            begun = [trial for row in rows if (trial := row.begun()) is not None]
            complete = {row.number: row for row in begun if row.state == "complete"}
            found = [
                Candidate(number=n, value=row.value, rows=curves.of_trial(connection, row.id))
                for n, row in complete.items()
                if row.value is not None
            ]
        database.close()
    return [dict(complete[number].recipe) for number in ranked(found, spec)[:count]]


def run_all(
    spec: StudySpec, cache: TaskCache, recipes: Sequence[Mapping[str, Any]], seed: int
) -> list[list[float | None]]:
    """Value and smoothed score of each recipe on a seed; None for both if it diverged."""
    made = [Recipe.from_dict({**recipe, "seed": seed}) for recipe in recipes]
    cohort = Cohort(spec, cache, made[0], len(made))
    trainings = [cohort.admit(recipe) for recipe in made]
    rows: list[list[Validation]] = [[] for _ in trainings]
    while cohort.trainings:
        cohort.advance(STEPS)
        due = cohort.due()
        found = cohort.validate(due, with_ema=lambda training: False) if due else []
        for training, row in zip(due, found, strict=True):
            rows[trainings.index(training)].append(row)
        for training in [
            training for training in cohort.trainings if training.done or training.diverged
        ]:
            cohort.drop(training)
    return [
        [None, None] if training.diverged else _scores(of_training, spec)
        for training, of_training in zip(trainings, rows, strict=True)
    ]


def _scores(rows: list[Validation], spec: StudySpec) -> list[float | None]:
    best = best_validation(rows, spec)
    value = None if best is None else objective_value(best, spec)
    return [
        None if each is None else float(f"{each:.5g}")
        for each in (value, smoothed_score(rows, spec))
    ]


def record(out: Path, *, recipes: int = 20, seeds: int = 36, epochs: int = 30) -> None:
    """Search, run, and write the pool: `{"recipes": [...], "runs": [[[value, score] ...] ...]}`.

    `runs` has a list for each recipe, in it a pair for each seed.
    """
    base = StudySpec.load(STUDIES / "digits.yaml")
    budget = base.budget.model_copy(update={"trials": TRIALS_PER_RECIPE * recipes})
    spec = base.model_copy(
        update={"confirm": None, "pruning": None, "epochs": epochs, "budget": budget}
    )
    torch.set_num_threads(1)
    good = good_recipes(spec, recipes)
    print(f"{len(good)} recipes", file=sys.stderr)
    cache = TaskCache(load_task(spec.task, STUDIES), torch.device("cpu"))
    by_seed = []
    for seed in range(FIRST_SEED, FIRST_SEED + seeds):
        by_seed.append(run_all(spec, cache, good, seed))
        print(f"seed {seed}: {by_seed[-1]}", file=sys.stderr)
    titles = [Recipe.from_dict(recipe).title() for recipe in good]
    content = {"recipes": titles, "runs": [list(runs) for runs in zip(*by_seed, strict=True)]}
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_bytes(gzip.compress(json.dumps(content).encode(), mtime=0))
