"""Optuna's own storage inside a transaction of ours."""

from weakref import WeakKeyDictionary

from optuna.storages import RDBStorage
from sqlalchemy import Connection, Engine
from sqlalchemy.orm import scoped_session, sessionmaker

_OPENED: WeakKeyDictionary[Engine, RDBStorage] = WeakKeyDictionary()


class JoinedStorage(RDBStorage):
    """Reads and writes through one connection; what it commits is committed with the transaction.

    Each of Optuna's own transactions is a savepoint of ours.
    """

    def __init__(self, connection: Connection) -> None:
        self.__dict__.update(vars(_opened(connection.engine)))
        sessions = sessionmaker(bind=connection, join_transaction_mode="create_savepoint")
        self.scoped_session = scoped_session(sessions)


def _opened(engine: Engine) -> RDBStorage:
    """Optuna's storage on the connections of an engine; opening it takes some milliseconds."""
    if engine not in _OPENED:
        _OPENED[engine] = RDBStorage(
            engine.url.render_as_string(hide_password=False),
            engine_kwargs={"pool": engine.pool},
            skip_compatibility_check=True,
            skip_table_creation=True,
        )
    return _OPENED[engine]
