"""Curves: one row per validation of a trial's attempt, written in batches."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, insert, select

from lrsearch.storage.rows import Row, fetch
from lrsearch.storage.tables import curves, trials

MAY_BE_INFINITE = ("train_loss", "val_loss", "val_loss_ema", "grad_norm")


def finite(value: float | None) -> float | None:
    """The number, or None where it is not finite: SQLite and JSON know no NaN."""
    return value if value is not None and math.isfinite(value) else None


def add(
    connection: Connection, trial: int, attempt: int, rows: Sequence[Mapping[str, Any]]
) -> None:
    """Append validations of one attempt."""
    if not rows:
        return
    connection.execute(
        insert(curves),
        [
            {
                **row,
                **{
                    k: finite(row[k])
                    for k in ("train_loss", "val_loss", "val_loss_ema", "grad_norm")
                },
                "metrics": {name: finite(value) for name, value in row["metrics"].items()},
                "trial": trial,
                "attempt": attempt,
            }
            for row in rows
        ],
    )


def latest(rows: Sequence[Row]) -> list[Row]:
    """Of each trial, every validation as the highest attempt saw it, up to where that one stands.

    `rows` come by attempt; an attempt that went on from a checkpoint has no rows before it.
    """
    kept: dict[tuple[int, int], Row] = {}
    reached: dict[int, int] = {}
    for row in rows:
        kept[row["trial"], row["validation"]] = row
        reached[row["trial"]] = row["validation"]
    return [
        row for (trial, validation), row in sorted(kept.items()) if validation <= reached[trial]
    ]


def of_study(
    connection: Connection, study_id: int, *, number: int | None = None, all_attempts: bool = False
) -> list[Row]:
    """Rows with the trial's number, of one trial or all, by trial and validation."""
    query = (
        select(trials.c.number, curves)
        .join(trials, trials.c.id == curves.c.trial)
        .where(trials.c.study_id == study_id)
        .order_by(trials.c.id, curves.c.attempt, curves.c.validation)
    )
    if number is not None:
        query = query.where(trials.c.number == number)
    rows = fetch(connection, query)
    return rows if all_attempts else latest(rows)


def of_trial(connection: Connection, trial: int) -> list[Row]:
    """One trial's curve, validations without gaps."""
    query = (
        select(curves)
        .where(curves.c.trial == trial)
        .order_by(curves.c.attempt, curves.c.validation)
    )
    return latest(fetch(connection, query))
