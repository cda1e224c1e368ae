"""Optuna's own view of the shared database."""

import weakref

import optuna

from lrsearch.storage.database import Database


def optuna_storage(database: Database, *, create: bool = False) -> optuna.storages.RDBStorage:
    """Optuna's view of the database; with `create` it makes its tables."""
    storage = optuna.storages.RDBStorage(
        database.optuna_url,
        engine_kwargs=dict(database.engine_kwargs),
        skip_table_creation=not create,
    )
    weakref.finalize(storage, storage.engine.dispose)
    return storage
