"""Plain Optuna studies, whose trials someone else's code has run: opening and reading them."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import optuna
from optuna.trial import FrozenTrial
from optuna.trial import TrialState as OptunaState
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from lrsearch.errors import StorageError, StudyError, near_miss
from lrsearch.plain_data import Fields
from lrsearch.spec.earlier_study import EarlierStudy
from lrsearch.spec.parts import Objective
from lrsearch.storage import studies
from lrsearch.storage.database import Database
from lrsearch.storage.moments import complaint
from lrsearch.storage.postgresql import CONNECT_TIMEOUT_SECONDS
from lrsearch.study.optuna.storage import optuna_storage


@dataclass(frozen=True, kw_only=True)
class PlainTrial:
    """An ended trial of a plain study; its value is None where it diverged."""

    number: int
    params: Fields
    value: float | None


def read_trials(
    database: Database, entry: EarlierStudy, objective: Objective, where: str
) -> tuple[list[PlainTrial], int]:
    """The trials that tell something, in their order, and how many others there are.

    A complete trial with an infinite value has diverged, and so has a failed one where the entry
    says so. Pruned, infeasible and unfinished trials tell nothing: their rungs and limits are not
    this study's. Raises StudyError or StorageError in one line.
    """
    with _readable(entry, database, where) as storage:
        study = _load(storage, database, entry, where)
        directions = [direction.name.lower() for direction in study.directions]
        trials = study.get_trials(deepcopy=False)
    if directions != [objective.direction]:
        raise StudyError(
            f"{where}: Optuna study {entry.optuna!r} has the direction {', '.join(directions)}, "
            f"but this study's objective is to {objective.direction} {objective.metric}"
        )
    names = {name for trial in trials for name in trial.params}
    for name in entry.map:
        if names and name not in names:
            raise StudyError(
                f"{where}.map.{name}: Optuna study {entry.optuna!r} has no parameter {name!r}"
                f"{near_miss(name, names)}"
            )
    usable = [found for trial in trials if (found := _usable(trial, entry)) is not None]
    return usable, len(trials) - len(usable)


def _usable(trial: FrozenTrial, entry: EarlierStudy) -> PlainTrial | None:
    failed = trial.state == OptunaState.FAIL and entry.failed == "diverged"
    feasible = all(violation <= 0 for violation in trial.constraints.values())
    if not failed and (trial.state != OptunaState.COMPLETE or not feasible):
        return None
    value = trial.value if trial.state == OptunaState.COMPLETE else None
    finite = value is not None and math.isfinite(value)
    return PlainTrial(number=trial.number, params=trial.params, value=value if finite else None)


def _load(
    storage: optuna.storages.RDBStorage, database: Database, entry: EarlierStudy, where: str
) -> optuna.Study:
    name = str(entry.optuna)
    known = optuna.get_all_study_names(storage=storage)
    if name not in known:
        hint = near_miss(name, known) if known else "; there are none"
        raise StudyError(f"{where}: no Optuna study {name!r} in {_place(entry, database)}{hint}")
    if entry.storage is None:
        with database.read() as connection:
            ours = studies.by_name(connection, name)
        if ours is not None:
            raise StudyError(f"{where}: {name!r} is an lrsearch study; write `study: {name}`")
    return optuna.load_study(study_name=name, storage=storage)


def _place(entry: EarlierStudy, database: Database) -> str:
    return entry.storage or str(database.location)


@contextmanager
def _readable(
    entry: EarlierStudy, database: Database, where: str
) -> Iterator[optuna.storages.RDBStorage]:
    """Optuna's view of the entry's storage; nothing is made or upgraded there."""
    try:
        storage = optuna_storage(database) if entry.storage is None else _open(entry.storage, where)
        try:
            yield storage
        finally:
            storage.engine.dispose()
    except (SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
        cause = error if isinstance(error, SQLAlchemyError) else error.__cause__
        reason = complaint(cause) if isinstance(cause, SQLAlchemyError) else str(error)
        place = _place(entry, database)
        raise StorageError(f"{where}: {place} holds no Optuna studies: {reason}") from error
    except RuntimeError as error:  # Optuna's word for tables of another version
        raise StorageError(
            f"{where}: {_place(entry, database)} was made by another version of Optuna; run "
            f"`optuna storage upgrade` on it"
        ) from error


def _open(text: str, where: str) -> optuna.storages.RDBStorage:
    try:
        url = make_url(text)
    except (ArgumentError, ValueError) as error:
        raise StorageError(
            f"{where}.storage = {text!r} is no database URL; accepted: sqlite:///FILE, "
            f"postgresql://USER@HOST/DATABASE"
        ) from error
    backend = url.get_backend_name()
    if backend not in ("sqlite", "postgresql", "postgres"):
        raise StorageError(
            f"{where}.storage = {text!r}: {backend} is not supported; use sqlite or postgresql"
        )
    if backend == "sqlite":
        if not url.database or not Path(url.database).is_file():
            raise StorageError(f"{where}.storage = {text!r}: there is no such file")
        url, arguments = url.set(drivername="sqlite"), {}
    else:
        url = url.set(drivername="postgresql+psycopg")
        arguments = {"connect_timeout": CONNECT_TIMEOUT_SECONDS}
    shown = url.render_as_string(hide_password=False)
    return optuna.storages.RDBStorage(
        shown.replace("{", "{{").replace("}", "}}"),  # Optuna formats its URL
        engine_kwargs={"connect_args": arguments},
        skip_table_creation=True,
    )
