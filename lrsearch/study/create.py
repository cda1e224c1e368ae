"""Creating a study, or finding that it exists with the same spec."""

from collections.abc import Mapping, Sequence
from importlib.metadata import version

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from lrsearch.errors import StudyError
from lrsearch.plain_data import Document, Fields
from lrsearch.range_test.plan import range_plan
from lrsearch.spec.study_spec import StudySpec
from lrsearch.storage import actions, range_tests, studies
from lrsearch.storage.database import Database, explained
from lrsearch.storage.range_tests import PlannedTest
from lrsearch.storage.records import StudyRecord
from lrsearch.study import warm_start
from lrsearch.study.open_study import OpenStudy
from lrsearch.study.optuna import gate
from lrsearch.study.portfolio import enqueue_portfolio
from lrsearch.study.same_recipe import is_same
from lrsearch.study_name import project_or_default
from lrsearch.task.commit import COMMIT
from lrsearch.task.task import LoadedCode


def create_study(
    database: Database,
    spec: StudySpec,
    loaded: LoadedCode,
    *,
    steps_per_epoch: int,
    exist_ok: bool,
    batch_size: int | None = None,
    resume: str | None = None,
) -> tuple[OpenStudy, bool]:
    """The study of this spec, and whether it is new; `batch_size` is the task's own.

    `resume` says how a script's trials go on after an interruption.

    An existing one of the same name must have the same spec and code; its budget, confirmation and
    notes then follow the new spec. Raises StudyError with the differences otherwise.
    """
    row = _stored(database, spec.name)
    if row is None:
        with explained(database):
            if _make_study(database, spec, loaded, steps_per_epoch, batch_size, resume):
                return OpenStudy.open(database, spec.name), True
        row = _stored(database, spec.name)  # another process was quicker
        assert row is not None
    if not exist_ok:
        raise StudyError(
            f"study {spec.name!r} exists already; add --exist-ok, or --name for another one"
        )
    stored = StudySpec.from_stored(row.definition)
    spec = spec.continuing(stored)
    _refuse_other(spec, stored, loaded, row.code)
    with explained(database), database.begin() as connection:
        if studies.lock(connection, row.study_id).name != spec.name:
            raise StudyError(f"study {spec.name!r} was extended just now; run the same again")
        continue_with(connection, row.study_id, spec, row.steps_per_epoch)
    return OpenStudy.open(database, spec.name), False


def _stored(database: Database, name: str) -> StudyRecord | None:
    with explained(database), database.read() as connection:
        return studies.by_name(connection, name)


def _budget(spec: StudySpec, steps_per_epoch: int) -> Document:
    total = spec.budget.most_epochs(spec.horizon_epochs(steps_per_epoch))
    extra = range_plan(spec, steps_per_epoch).extra
    return {
        "trials_total": spec.budget.trials,
        "epochs_total": None if total is None else total + extra,
        "seconds_total": spec.budget.time,
    }


def continue_with(
    connection: Connection, study_id: int, spec: StudySpec, steps_per_epoch: int
) -> None:
    """Let budget, confirmation and notes of a study follow `spec`, whose identity is the same."""
    budget = _budget(spec, steps_per_epoch)
    project = project_or_default(spec.project)
    studies.change(connection, study_id, definition=spec.to_dict(), project=project, **budget)


def _make_study(
    database: Database,
    spec: StudySpec,
    loaded: LoadedCode,
    steps_per_epoch: int,
    batch_size: int | None,
    resume: str | None,
) -> bool:
    """Make the study; False if another process has made one of this name meanwhile."""
    lessons = warm_start.gather(database, spec, spec.warm_start, loaded)
    try:
        with database.begin() as connection:
            if studies.by_name(connection, spec.name) is not None:
                return False
            study_id = insert_study(
                connection, spec, steps_per_epoch, code=loaded.code, versions=versions_of(loaded)
            )
            studies.change(connection, study_id, resume=resume)
            range_tests.add(connection, study_id, planned_range_tests(spec, steps_per_epoch))
            given = enqueue_given(connection, study_id, spec, present=[])
            warm_start.apply(connection, study_id, lessons, present=given)
            enqueue_portfolio(connection, study_id, spec, steps_per_epoch, batch_size)
            record_origin(connection, study_id, lessons, extended=None)
    except IntegrityError:
        if _stored(database, spec.name) is None:
            raise
        return False
    return True


def insert_study(
    connection: Connection,
    spec: StudySpec,
    steps_per_epoch: int,
    *,
    code: Mapping[str, str],
    versions: Mapping[str, str],
) -> int:
    """Both halves of a study without trials, Optuna's and ours; its id.

    `code` are the hashes of its files, `versions` as `versions_of` has them.

    Raises StudyError if the name is that of a plain Optuna study.
    """
    # In this order: who makes the study just now makes both halves, and then ours is unique.
    is_there = studies.optuna_id(connection, spec.name) is not None
    if is_there and studies.by_name(connection, spec.name) is None:
        raise StudyError(
            f"{spec.name!r} is the name of a plain Optuna study in this database; use another name"
        )
    with studies.unused_id(connection):
        study_id = gate.writer(connection).insert_study(spec.name, spec.objective.direction)
    values = {
        "study_id": study_id,
        "name": spec.name,
        "definition": spec.to_dict(),
        "spec_hash": spec.hash(),
        "code": dict(code),
        "versions": dict(versions),
        "steps_per_epoch": steps_per_epoch,
        "project": project_or_default(spec.project),
        "owner": actions.user(),
        **_budget(spec, steps_per_epoch),
    }
    studies.create(connection, values)
    actions.record(connection, values["project"], spec.name, "created")
    return study_id


def versions_of(loaded: LoadedCode) -> Mapping[str, str]:
    """Of the packages that decide what a trial trains, and the commit of the study's own code."""
    packages = {name: version(name) for name in ("lrsearch", "torch", "optuna")}
    return packages if loaded.commit is None else {**packages, COMMIT: loaded.commit}


def enqueue_given(
    connection: Connection, study_id: int, spec: StudySpec, present: Sequence[Fields]
) -> list[Document]:
    """Enqueue the file's own recipes that are not `present` already; all that then are."""
    found = [dict(recipe) for recipe in present]
    for where, recipe in spec.given_recipes():
        kind = "baseline" if where == "baseline" else "enqueued"
        fields = spec.recipe(recipe, batch_size=None, where=where).to_dict()
        if not any(is_same(fields, other) for other in present):
            studies.enqueue(connection, study_id, kind, fields)
            found.append(fields)
    return found


def record_origin(
    connection: Connection,
    study_id: int,
    lessons: Sequence[warm_start.Lesson],
    extended: Fields | None,
) -> None:
    """Keep what a new study took over: counts for people, and how many trials only Optuna has."""
    if not lessons and extended is None:
        return
    ours = studies.counts(connection, study_id)
    origin = {
        "known": gate.writer(connection).count_trials(study_id) - sum(ours.values()),
        "extended": extended,
        "warm_start": [lesson.counts() for lesson in lessons],
    }
    studies.change(connection, study_id, origin=origin)


def planned_range_tests(spec: StudySpec, steps_per_epoch: int) -> list[PlannedTest]:
    """The range tests that a study of this spec begins with."""
    plan = range_plan(spec, steps_per_epoch)
    return [
        PlannedTest(optimizer=test.name, seeds=plan.seeds, epochs_reserved=plan.epochs_of(test))
        for test in plan.tests
    ]


def _refuse_other(
    spec: StudySpec, stored: StudySpec, loaded: LoadedCode, code: Mapping[str, str]
) -> None:
    obstacles = stored.obstacles(spec) + changed_code(spec, loaded, code)
    changes = stored.differences(spec) + changed_code(spec, loaded, code)
    if not changes:
        return
    advice = "Use --name to start another study"
    if not obstacles:
        advice = (
            f"`lrsearch study extend {spec.name} FILE` applies it and keeps the trials; --name "
            f"starts another study"
        )
    raise StudyError(
        f"study {spec.name!r} exists with another spec: {'; '.join(changes)}. {advice}"
    )


def changed_code(spec: StudySpec, loaded: LoadedCode, code: Mapping[str, str]) -> list[str]:
    """A line about task files that are not those of the study, where the spec refuses that."""
    names = {*code, *loaded.code}
    changed = sorted(name for name in names if code.get(name) != loaded.code.get(name))
    if not changed or spec.on_code_change != "refuse":
        return []
    return [f"code of {', '.join(changed)} (on_code_change: warn in the file goes on)"]
