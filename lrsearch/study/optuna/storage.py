"""Optuna's own view of the shared database."""

import weakref

import optuna
from optuna import Study as OptunaStudy
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial as OptunaTrial

from lrsearch.storage.database import Database

__all__ = ["OptunaStudy", "OptunaTrial", "load_study", "optuna_storage"]


def optuna_storage(database: Database, *, create: bool = False) -> RDBStorage:
    """Optuna's view of the database; with `create` it makes its tables."""
    storage = RDBStorage(
        database.optuna_url,
        engine_kwargs=dict(database.engine_kwargs),
        skip_table_creation=not create,
    )
    weakref.finalize(storage, storage.engine.dispose)
    return storage


def load_study(database: Database, study_id: int) -> OptunaStudy:
    """A study as Optuna sees it."""
    storage = optuna_storage(database)
    name = storage.get_study_name_from_id(study_id)
    return optuna.load_study(study_name=name, storage=storage)
