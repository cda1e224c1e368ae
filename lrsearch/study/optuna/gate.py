"""The one gate: Optuna's private parts where they are as they are known, else its public API.

`LRSEARCH_OPTUNA=public` in the environment shuts the gate.
"""

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from sqlalchemy import Connection

from lrsearch.study.optuna.history import HistoryReader
from lrsearch.study.optuna.public.history import StorageHistory
from lrsearch.study.optuna.public.writer import StorageWriter
from lrsearch.study.optuna.sampler import WindowedTPESampler, Windows
from lrsearch.study.optuna.writer import OptunaWriter

log = logging.getLogger("lrsearch")


@dataclass(frozen=True, kw_only=True)
class _Parts:
    """What works on Optuna's studies: the same in both ways."""

    writer: Callable[[Connection], OptunaWriter]
    history: type[HistoryReader]
    sampler: type[WindowedTPESampler]


_PUBLIC = _Parts(writer=StorageWriter, history=StorageHistory, sampler=WindowedTPESampler)


def is_open() -> bool:
    """Whether private parts are used."""
    return _parts() is not _PUBLIC


def _parts() -> _Parts:
    return _PUBLIC if os.environ.get("LRSEARCH_OPTUNA") == "public" else _known_parts()


@cache
def _known_parts() -> _Parts:
    """The private parts, if all are there and behave as they are known to; looked at once."""
    try:
        from lrsearch.study.optuna.private import quick_tpe, table_history, table_writer, tables

        if tables.are_known() and quick_tpe.draws_alike():
            return _Parts(
                writer=table_writer.TableWriter,
                history=table_history.TableHistory,
                sampler=quick_tpe.QuickWindowedTPESampler,
            )
    except (ImportError, AttributeError, TypeError, ValueError, LookupError) as error:
        log.debug("a private part of Optuna is gone", exc_info=error)
    log.warning("lrsearch does not know this version of Optuna: it samples more slowly")
    return _PUBLIC


def writer(connection: Connection) -> OptunaWriter:
    """What writes into Optuna's tables in the connection's transaction."""
    return _parts().writer(connection)


def history_reader(study_id: int, *, minimize: bool, known: int) -> HistoryReader:
    """What reads a study's trials for its sampler.

    `known` is how many trials of other studies the sampler was given.
    """
    return _parts().history(study_id, minimize=minimize, known=known)


def sampler(*, seed: int, windows: Windows) -> WindowedTPESampler:
    """Optuna's TPE inside windows."""
    return _parts().sampler(seed=seed, windows=windows)
