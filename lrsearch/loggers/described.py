"""Rows of the database as runs, points and ends."""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence

from sqlalchemy import Connection

from lrsearch.child_process.folders import confirmation_name, search_name
from lrsearch.loggers.run import End, Param, Point, Run
from lrsearch.plain_data import Fields, Unchecked
from lrsearch.storage import trials
from lrsearch.storage.records import ConfirmationRecord, TrialRecord
from lrsearch.study.stored_study import StoredStudy
from lrsearch.trial.curve import Scores, Validation
from lrsearch.trial.states import OPEN, TrialState

#: What is logged: search trials and confirmation runs.
Row = TrialRecord | ConfirmationRecord


def run_of(connection: Connection, study: StoredStudy, row: Row, began: float) -> Run:
    """`began`: seconds since 1970, of a confirmation run, whose row does not say it."""
    made = f"{study.study_id} {study.record.created_at!r}"
    mark = hashlib.sha256(made.encode()).hexdigest()[:12]
    if isinstance(row, TrialRecord):
        number, folder, name = row.number or 0, search_name(row.number or 0), f"trial {row.number}"
        recipe, own = row.recipe or {}, {"source": row.kind}
        kind, began = "search", row.started_at
    else:
        number, folder = row.number, confirmation_name(row.number, row.seed)
        name, kind = f"confirmation of trial {number}, seed {row.seed}", "confirmation"
        found = trials.by_number(connection, study.study_id, number)
        recipe = {**((found and found.recipe) or {}), "seed": row.seed}
        own = {"round": row.round, "role": row.role}
    tags = {
        "study": study.name,
        "trial": str(number),
        "seed": str(recipe.get("seed")),
        "worker": row.worker or "",
        "attempt": str(row.attempt),
        **own,
    }
    return Run(
        id=f"lr{mark}-{folder}",
        study=study.name,
        name=name,
        folder=folder,
        kind="search" if kind == "search" else "confirmation",
        params=flat(recipe),
        tags=tags,
        started_at=began,
    )


def flat(fields: Fields, owner: str = "") -> Mapping[str, Param]:
    """The fields of a recipe by flat names; lists as JSON, the two betas one by one."""
    found: dict[str, Param] = {}
    for key, value in fields.items():
        name = f"{owner}{key}"
        if isinstance(value, Mapping):
            found |= flat(value, f"{name}.")
        elif key == "betas" and isinstance(value, Sequence):
            found |= {f"{owner}beta{i}": float(beta) for i, beta in enumerate(value, start=1)}
        elif value is not None:
            found[name] = _param(value)
    return found


def _param(value: Unchecked) -> Param:
    return value if isinstance(value, bool | int | float | str) else json.dumps(value)


def points_of(rows: Sequence[Validation], started_at: float) -> list[Point]:
    """The rows of a curve as points."""
    return [
        Point(step=row.step, at=started_at + row.seconds, scores=_scores_of(row)) for row in rows
    ]


def _scores_of(row: Validation) -> Mapping[str, float]:
    ema = {f"{name}_ema": score for name, score in (row.metrics_ema or {}).items()}
    own = {
        "epoch": row.epoch,
        "lr": row.lr,
        "train_loss": row.train_loss,
        "val_loss": row.val_loss,
        "val_loss_ema": row.val_loss_ema,
        "grad_norm": row.grad_norm,
        "seconds": row.seconds,
    }
    return _finite({**row.metrics, **ema, **own})


def end_of(row: Row, step: int, started_at: float) -> End | None:
    """How a run has ended, whose last validation was at this step; None while it runs."""
    if row.state in OPEN or row.state not in list(TrialState):
        return None
    best = {f"best/{name}": score for name, score in (row.metrics or {}).items()}
    test = row.test if isinstance(row, ConfirmationRecord) else None
    tested = {f"test/{name}": score for name, score in (test or {}).items()}
    return End(
        state=TrialState(row.state),
        reason=row.reason,
        step=step,
        at=started_at + row.seconds,
        scores=_finite({"objective": row.value, **best, **tested}),
    )


def _finite(scores: Scores) -> Mapping[str, float]:
    return {
        name: float(score)
        for name, score in scores.items()
        if score is not None and math.isfinite(score)
    }
