"""Creating a study, or finding that it exists with the same spec; enqueueing recipes."""

import math
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

import optuna

from lrsearch.errors import SpecError, StudyError, near_miss
from lrsearch.recipe import Recipe
from lrsearch.spec import StudySpec
from lrsearch.storage import studies
from lrsearch.storage.connect import Database, explained
from lrsearch.storage.rows import Row
from lrsearch.study.database import optuna_storage
from lrsearch.study.search import Search
from lrsearch.task import LoadedTask, Task
from lrsearch.textbook import textbook_recipes


def create_study(
    database: Database,
    spec: StudySpec,
    loaded: LoadedTask,
    *,
    steps_per_epoch: int,
    exist_ok: bool,
    batch_size: int | None = None,
) -> tuple[Search, bool]:
    """The study of this spec, and whether it is new; `batch_size` is the task's own.

    An existing one of the same name must have the same spec and code; its budget, confirmation and
    notes then follow the new spec. Raises StudyError with the differences otherwise.
    """
    row = _stored(database, spec.name)
    if row is None:
        with explained(database):
            if _insert_study(database, spec, loaded, steps_per_epoch, batch_size):
                return Search.open(database, spec.name), True
        row = _stored(database, spec.name)  # another process was quicker
        assert row is not None
    if not exist_ok:
        raise StudyError(
            f"study {spec.name!r} exists already; add --exist-ok, or --name for another one"
        )
    _refuse_other(spec, StudySpec.from_stored(row["definition"]), loaded, row["code"])
    with explained(database), database.begin() as connection:
        definition = spec.to_dict()
        studies.change(connection, row["study_id"], definition=definition, **_budget(spec))
    return Search.open(database, spec.name), False


def _stored(database: Database, name: str) -> Row | None:
    with explained(database), database.read() as connection:
        return studies.by_name(connection, name)


def _budget(spec: StudySpec) -> dict[str, Any]:
    return {
        "trials_total": spec.budget.trials,
        "epochs_total": spec.budget.total_epochs,
        "seconds_total": spec.budget.time,
    }


def _insert_study(
    database: Database,
    spec: StudySpec,
    loaded: LoadedTask,
    steps_per_epoch: int,
    batch_size: int | None,
) -> bool:
    """Make the study; False if another process has made one of this name meanwhile."""
    optuna.create_study(
        study_name=spec.name,
        storage=optuna_storage(database),
        direction=spec.objective.direction,
        load_if_exists=True,
    )
    with database.begin() as connection:
        study_id = studies.lock_optuna(connection, spec.name)
        if studies.by_id(connection, study_id) is not None:
            return False
        values = {
            "study_id": study_id,
            "name": spec.name,
            "definition": spec.to_dict(),
            "spec_hash": spec.hash(),
            "code": dict(loaded.code),
            "versions": {name: version(name) for name in ("lrsearch", "torch", "optuna")},
            "steps_per_epoch": steps_per_epoch,
            **_budget(spec),
        }
        studies.create(connection, values)
        for where, recipe in spec.given_recipes():
            kind = "baseline" if where == "baseline" else "enqueued"
            fields = spec.recipe(recipe, batch_size=None, where=where).to_dict()
            studies.enqueue(connection, study_id, kind, fields)
        count = _textbook_count(spec, steps_per_epoch)
        for recipe in textbook_recipes(spec.space, count, batch_size):
            fields = spec.recipe(recipe, batch_size=None, where="textbook").to_dict()
            studies.enqueue(connection, study_id, "textbook", fields)
    return True


def _textbook_count(spec: StudySpec, steps_per_epoch: int) -> int:
    """As many as the spec says, but at most a quarter of the trials, rounded up."""
    trials: float | None = spec.budget.trials
    if trials is None and spec.budget.total_epochs is not None:
        trials = spec.budget.total_epochs // spec.horizon_epochs(steps_per_epoch)
    return spec.textbook if trials is None else min(spec.textbook, math.ceil(trials / 4))


def _refuse_other(
    spec: StudySpec, stored: StudySpec, loaded: LoadedTask, code: Mapping[str, str]
) -> None:
    changes = stored.differences(spec)
    changed = sorted(
        name for name in {*code, *loaded.code} if code.get(name) != loaded.code.get(name)
    )
    if changed and spec.code == "refuse":
        changes.append(f"code of {', '.join(changed)} (code: warn in the file goes on)")
    if changes:
        raise StudyError(
            f"study {spec.name!r} exists with another spec: {'; '.join(changes)}. Use --name to "
            f"start another study"
        )


def enqueue(search: Search, recipe: Mapping[str, Any], where: str) -> Recipe:
    """Let the next free worker train this recipe. Raises SpecError if it does not fit the study."""
    full = search.spec.recipe(recipe, batch_size=None, where=where)
    with search.database.begin() as connection:
        studies.enqueue(connection, search.study_id, "enqueued", full.to_dict())
    return full


def check_objective(spec: StudySpec, task: Task) -> None:
    """Raises SpecError if the objective is no metric of the task."""
    metric = spec.objective.metric
    if metric != "val_loss" and metric not in task.metrics:
        raise SpecError(
            f"objective.metric = {metric!r} is not a metric of the task"
            f"{near_miss(metric, ['val_loss', *task.metrics])}"
        )
