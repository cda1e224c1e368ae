"""What must be so after chaos.py, whatever has happened: each check says how much it looked at and
what it found broken."""

import json
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import optuna
import torch
from optuna.trial import TrialState as OptunaState
from sqlalchemy import select

from lrsearch import Recipe
from lrsearch.range_test.plan import ramp_plan
from lrsearch.spec.trial_value import best_validation, objective_value, signal
from lrsearch.storage import curves as storage_curves
from lrsearch.storage import tables
from lrsearch.storage.records import CurveRecord
from lrsearch.study import lost_work
from lrsearch.study.open_study import OpenStudy
from lrsearch.study.optuna.storage import optuna_storage
from lrsearch.task.task import LoadedTask
from lrsearch.training.range_test import RangeTraining
from lrsearch.training.solo import SoloTraining
from lrsearch.training.start import plan_of, start_training
from lrsearch.training.task_cache import TaskCache
from lrsearch.trial.curve import Validation

OPTUNAS = {
    "complete": OptunaState.COMPLETE,
    "pruned": OptunaState.PRUNED,
    "diverged": OptunaState.PRUNED,
    "failed": OptunaState.FAIL,
}
ENDS = set(OPTUNAS) - {"failed"}
#: Columns of a row that was read past what the workers use.
Row = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Check:
    """What was looked at, how many of it, and what is wrong with them."""

    what: str
    count: int
    broken: list[str]


@dataclass(frozen=True, kw_only=True)
class Found:
    """A study as the database holds it."""

    search: OpenStudy
    study: Row
    trials: list[Row]
    runs: list[Row]
    range_tests: list[Row]
    leases: list[Row]
    marks: dict[int, dict[int, float]]
    #: By trial, of the highest attempt, in order.
    curves: dict[int, list[CurveRecord]]
    optuna: list[optuna.trial.FrozenTrial]


def look(search: OpenStudy) -> Found:
    """Everything of a study, read past whatever the workers use."""

    def rows(table: Any, *order: Any) -> list[Row]:
        query = select(table).where(table.c.study_id == search.study_id)
        return list(connection.execute(query.order_by(*order)).mappings())

    with search.database.read() as connection:
        marks: dict[int, dict[int, float]] = defaultdict(dict)
        for row in rows(tables.rungs):
            marks[row["trial"]][row["rung"]] = row["value"]
        by_trial: dict[int, list[CurveRecord]] = defaultdict(list)
        for row in storage_curves.of_study(connection, search.study_id):
            by_trial[row.trial].append(row)
        return Found(
            search=search,
            study=rows(tables.studies)[0],
            trials=rows(tables.trials, tables.trials.c.ticket),
            runs=rows(tables.confirmations, tables.confirmations.c.id),
            range_tests=rows(tables.range_tests, tables.range_tests.c.id),
            leases=rows(tables.leases),
            marks=marks,
            curves=by_trial,
            optuna=optuna.load_study(
                study_name=search.name, storage=optuna_storage(search.database)
            ).get_trials(deepcopy=False),
        )


def of_study(
    found: Found, total: int, loaded: LoadedTask, tolerance: float = 0, *, may_blame: bool = False
) -> list[Check]:
    """Everything that must be so of a finished study of `total` trials.

    Numbers may differ by `tolerance`, relative, from those of an undisturbed run. `may_blame`:
    what was lost three times without a new checkpoint may have failed for it (see `chaos_blame`).
    """
    whole, found = (
        found,
        replace(found, trials=[t for t in found.trials if t["recipe"] is not None]),
    )
    return [
        budget(whole, total),
        ends(whole, may_blame=may_blame),
        epochs(whole),
        known_recipes(whole),
        optunas_half(found, tolerance),
        whole_curves(found, tolerance),
        rungs(found, tolerance),
        confirmed(found, total),
        *same_bits(found, loaded, tolerance),
    ]


def budget(found: Found, total: int) -> Check:
    """Exactly the budgeted trials: none lost, none twice."""
    broken = []
    expected = {
        "tickets": ([row["ticket"] for row in found.trials], list(range(1, total + 1))),
        "numbers": (sorted(_numbers(found)), list(range(total))),
        "trials_used": (found.study["trials_used"], total),
        "trials_ended": (found.study["trials_ended"], total),
        "ends": (sorted(row["ended"] or 0 for row in found.trials), list(range(1, total + 1))),
    }
    for name, (seen, right) in expected.items():
        if seen != right:
            broken.append(f"{name} are {seen}, not {right}")
    return Check(what="trials of the budget, each once", count=len(found.trials), broken=broken)


def known_recipes(found: Found) -> Check:
    """What a trial has trained is known; one whose workers died before it was drawn has failed."""
    broken = [
        f"trial {row['number']} has no recipe: {row['state']} at attempt {row['attempt']} with "
        f"{len(found.curves[row['id']])} validations ({row['reason']})"
        for row in found.trials
        if row["recipe"] is None and (row["state"] != "failed" or found.curves[row["id"]])
    ]
    return Check(what="trials whose recipe is known", count=len(found.trials), broken=broken)


def _numbers(found: Found) -> list[int]:
    return [-1 if row["number"] is None else row["number"] for row in found.trials]


def ends(found: Found, *, may_blame: bool = False) -> Check:
    """Every trial, run and range test has ended, and none failed."""
    everything = [
        *((f"trial {row['number']}", row) for row in found.trials),
        *((f"confirmation run {row['id']}", row) for row in found.runs),
        *((f"range test of {row['optimizer']}", row) for row in found.range_tests),
    ]
    broken = [
        f"{name} is {row['state']} after {row['attempt']} attempts: {row['reason']}"
        for name, row in everything
        if row["state"] not in ENDS and not (is_blamed(row) and (may_blame or "optimizer" in row))
    ]
    broken += [
        f"the lease of {row['kind']} {row['item']} is still held by {row['worker']}"
        for row in found.leases
        if row["expires_at"] is not None
    ]
    return Check(
        what="trials, runs and range tests ended, none failed", count=len(everything), broken=broken
    )


def is_blamed(row: Row) -> bool:
    """Whether it was lost three times without a new checkpoint. That is accepted of a range test:
    it has no checkpoints, and the study goes on without its window."""
    return bool(row["state"] == "failed" and row["reason"] == lost_work.REASON)


def epochs(found: Found) -> Check:
    """What the study has paid is what was trained."""
    rows = [*found.trials, *found.runs, *found.range_tests]
    paid, trained = found.study["epochs_used"], math.fsum(row["epochs"] for row in rows)
    broken = []
    if not math.isclose(paid, trained, rel_tol=1e-12):
        broken.append(f"epochs_used is {paid}, the sum is {trained}")
    if abs(found.study["epochs_reserved"]) > 1e-9:
        broken.append(f"epochs_reserved is {found.study['epochs_reserved']}, not 0")
    return Check(what="epochs paid", count=round(trained), broken=broken)


def optunas_half(found: Found, tolerance: float = 0) -> Check:
    """Optuna has the same trials, states, values and reports at rungs."""
    broken = []
    if len(found.optuna) != len(found.trials):
        broken.append(f"Optuna has {len(found.optuna)} trials, not {len(found.trials)}")
    theirs = {trial.number: trial for trial in found.optuna}
    for row in found.trials:
        trial = theirs.get(row["number"])
        if trial is None:
            broken.append(f"Optuna has no trial {row['number']}")
            continue
        if trial.state != OPTUNAS.get(row["state"]):
            broken.append(f"trial {row['number']} is {row['state']}, in Optuna {trial.state.name}")
        if row["state"] == "complete" and trial.value != row["value"]:
            broken.append(f"trial {row['number']} has {row['value']}, in Optuna {trial.value}")
        told, passed = trial.intermediate_values, _plan(found, row).rungs
        reports = {step: value for step, value in told.items() if step in passed}
        expected = {
            point.validation: objective_value(point, found.search.spec)
            for point in found.curves[row["id"]]
            if point.validation in (reports if row["state"] == "diverged" else passed)
        }
        if not _agree(row, reports, expected, tolerance):
            broken.append(f"trial {row['number']} reported {reports} to Optuna, not {expected}")
    return Check(what="trials that Optuna knows the same", count=len(theirs), broken=broken)


def _agree(
    row: Row, seen: Mapping[int, Any], expected: Mapping[int, Any], tolerance: float
) -> bool:
    """Whether what was noted at rungs is as the curve says.

    With a tolerance it may be of an earlier attempt, which trained beside others. Of a trial that
    failed it may be more, where an earlier attempt had come further, or less, where a failover has
    lost it: who would have sent it again has died.
    """
    both = seen.keys() & expected.keys()
    is_whole = row["state"] == "failed" or seen.keys() == expected.keys()
    return is_whole and all(_same(seen[key], expected[key], tolerance) for key in both)


def whole_curves(found: Found, tolerance: float = 0) -> Check:
    """Curves without gaps, of full length where the trial is complete, to a rung where pruned.

    One that failed may have gaps: it tells no value, and who would have sent again what a failover
    has lost has died.
    """
    broken = []
    for row in found.trials:
        name, seen = f"trial {row['number']}", found.curves[row["id"]]
        numbers = [point.validation for point in seen]
        if numbers != list(range(1, len(numbers) + 1)) and row["state"] != "failed":
            broken.append(f"{name} has validations {numbers}")
        plan = _plan(found, row)
        if row["state"] == "complete" and len(numbers) != plan.rows:
            broken.append(f"{name} is complete with {len(numbers)} validations")
        if row["state"] == "pruned" and len(numbers) not in plan.rungs:
            broken.append(f"{name} was pruned at validation {len(numbers)}, which is no rung")
        best = best_validation(seen, found.search.spec)
        scored = row["state"] in ("complete", "pruned") and best is not None
        value = objective_value(best, found.search.spec) if scored and best is not None else None
        if not _same(row["value"], value, tolerance):
            broken.append(f"{name} has the value {row['value']}, its curve {value}")
    count = sum(len(seen) for seen in found.curves.values())
    return Check(what="validations in curves without gaps", count=count, broken=broken)


def rungs(found: Found, tolerance: float = 0) -> Check:
    """One mark for each rung that a trial has passed, with the signal that its curve shows."""
    broken = []
    for row in found.trials:
        plan, seen = _plan(found, row), found.curves[row["id"]]
        expected = {
            plan.rungs[point.validation]: signal(point, found.search.spec)
            for point in seen
            if point.validation in plan.rungs and point.val_loss is not None
        }
        marks = found.marks[row["id"]]
        if row["state"] == "diverged":  # the validation that found it leaves no mark
            expected = {rung: value for rung, value in expected.items() if rung in marks}
        if not _agree(row, marks, expected, tolerance):
            broken.append(f"trial {row['number']} has marks {marks}, its curve says {expected}")
    count = sum(len(marks) for marks in found.marks.values())
    return Check(what="rung marks, one for each rung passed", count=count, broken=broken)


def _plan(found: Found, row: Row) -> Any:
    recipe = Recipe.from_dict(row["recipe"])
    return plan_of(found.search.spec, recipe, found.search.steps_per_epoch)


def confirmed(found: Found, total: int) -> Check:
    """As many confirmation runs as the budget allows, no seed twice for a recipe."""
    broken = []
    expected = total // 4 if any(row["state"] == "complete" for row in found.trials) else 0
    if len(found.runs) != expected:
        broken.append(f"{len(found.runs)} confirmation runs, not {expected}")
    keys = [(run["number"], run["seed"]) for run in found.runs]
    if len(set(keys)) != len(keys):
        broken.append(f"seeds were used twice: {sorted(keys)}")
    return Check(what="confirmation runs", count=len(found.runs), broken=broken)


def nothing_left(folder: Path) -> Check:
    """No checkpoint outlives its trial."""
    files = [path for path in folder.rglob("*") if path.is_file()] if folder.exists() else []
    broken = [f"{path.relative_to(folder)} was left behind" for path in files]
    return Check(what="checkpoints left behind", count=len(files), broken=broken)


#: What of a validation is the same in every run of a recipe.
COMPARED = ("step", "lr", "train_loss", "val_loss", "val_loss_ema", "grad_norm", "metrics")


def same_bits(found: Found, loaded: LoadedTask, tolerance: float = 0) -> Iterator[Check]:
    """Everything equals what an undisturbed run of the same recipe gives, by default to the last
    bit."""
    cache = TaskCache(loaded, torch.device("cpu"))
    broken = []
    for row in found.trials:
        broken += _trial_differs(found, row, cache, tolerance)
    count = sum(len(seen) for seen in found.curves.values())
    yield Check(what="validations as undisturbed, weights too", count=count, broken=broken)
    broken = []
    for run in found.runs:
        broken += _run_differs(found, run, cache, tolerance)
    yield Check(what="confirmation runs as undisturbed", count=len(found.runs), broken=broken)
    broken, whole = [], [row for row in found.range_tests if row["state"] == "complete"]
    for row in whole:
        steps = round(row["epochs_reserved"] * found.search.steps_per_epoch / row["seeds"])
        plan = ramp_plan(found.search.spec, row["optimizer"], steps)
        result = RangeTraining(found.search.spec, plan, cache, lambda: False).run(row["seeds"])
        if result is None or _plain(result.to_dict()) != row["result"]:
            broken.append(f"the range test of {row['optimizer']} has another result")
    yield Check(what="range tests as undisturbed", count=len(whole), broken=broken)


def _plain(result: Mapping[str, Any]) -> Any:
    """As the database gives it back."""
    return json.loads(json.dumps(result))


def _validations(training: SoloTraining) -> Iterator[Validation]:
    """An undisturbed run, row by row as the database would hold it."""
    while not training.done:
        training.advance(training.next_validation)
        if training.diverged is None:
            row = training.validate(with_ema=training.wants_average)
            if isinstance(row, Validation):
                yield row.stored()


def _same(ours: Any, theirs: Any, tolerance: float) -> bool:
    if isinstance(ours, float) and isinstance(theirs, float):
        return math.isclose(ours, theirs, rel_tol=tolerance)
    return bool(ours == theirs)


def _trial_differs(found: Found, row: Row, cache: TaskCache, tolerance: float) -> Iterator[str]:
    name, seen = f"trial {row['number']}", found.curves[row["id"]]
    training = start_training(found.search.spec, Recipe.from_dict(row["recipe"]), cache)
    course = _validations(training)
    for point in seen:
        undisturbed = next((each for each in course if each.validation == point.validation), None)
        if undisturbed is None:
            yield f"{name} ends before validation {point.validation} when undisturbed"
            return
        ours, theirs = vars(point), vars(undisturbed)
        if differing := [k for k in COMPARED if not _same(ours[k], theirs[k], tolerance)]:
            where = f"{name}, validation {point.validation} (attempt {point.attempt})"
            yield _difference(where, ours, theirs, differing)
            return
    if row["state"] == "diverged" and (list(course) or training.diverged != row["reason"]):
        yield f"{name} diverged ({row['reason']}), undisturbed: {training.diverged}"


def _difference(
    where: str, point: Mapping[str, Any], undisturbed: Mapping[str, Any], keys: Sequence[str]
) -> str:
    parts = [f"{key} {point[key]} instead of {undisturbed[key]}" for key in keys]
    return f"{where}: {', '.join(parts)}"


def _run_differs(found: Found, run: Row, cache: TaskCache, tolerance: float) -> Iterator[str]:
    (trial,) = (row for row in found.trials if row["number"] == run["number"])
    recipe = Recipe.from_dict({**trial["recipe"], "seed": run["seed"]})
    training = start_training(found.search.spec, recipe, cache)
    best = best_validation(list(_validations(training)), found.search.spec)
    if training.diverged is not None:
        best = None
    value = None if best is None else objective_value(best, found.search.spec)
    metrics = None if best is None else best.metrics
    if not _same(run["value"], value, tolerance) or run["metrics"] != metrics:
        yield f"run {run['id']} of trial {run['number']}: {run['value']} instead of {value}"
