"""Our tables (prefix `lr_`), beside Optuna's in the same database.

Optuna holds params, rung values, final value and state of each trial; everything dense, and
everything that workers decide by, is here. Times are seconds since 1970 by the database's clock.
"""

from enum import StrEnum
from typing import Any

from sqlalchemy import (
    JSON,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.expression import FunctionElement

metadata = MetaData()


class TrialState(StrEnum):
    """running -> complete | pruned | diverged | failed; an end is final."""

    RUNNING = "running"  #: a worker trains it, or will take it over
    COMPLETE = "complete"  #: trained to its horizon
    PRUNED = "pruned"  #: stopped at a rung
    DIVERGED = "diverged"  #: loss or weights left the finite, or the loss its bounds
    FAILED = "failed"  #: the task's code raised, or memory ran out


class StudyState(StrEnum):
    """open <-> paused; open | paused -> stopped -> open (resume)."""

    OPEN = "open"  #: new trials start while there is budget
    PAUSED = "paused"  #: workers wait
    STOPPED = "stopped"  #: no new trial starts; running ones end, then confirmation


class db_now(FunctionElement[float]):  # noqa: N801 - reads as SQL's now()
    """Seconds since 1970 by the database's clock."""

    type = Float()
    inherit_cache = True


@compiles(db_now, "sqlite")
def _sqlite_now(element: Any, compiler: Any, **kw: Any) -> str:
    return "((julianday('now') - 2440587.5) * 86400.0)"


@compiles(db_now, "postgresql")
def _postgresql_now(element: Any, compiler: Any, **kw: Any) -> str:
    return "extract(epoch from clock_timestamp())::double precision"


# Optuna's, as far as ours refer to them.
optuna_studies = Table(
    "studies", metadata, Column("study_id", Integer, primary_key=True), Column("study_name", String)
)
optuna_trials = Table(
    "trials",
    metadata,
    Column("trial_id", Integer, primary_key=True),
    Column("study_id", Integer),
    Column("number", Integer),
    Column("state", String),
)
optuna_trial_attributes = Table(
    "trial_user_attributes",
    metadata,
    Column("trial_user_attribute_id", Integer, primary_key=True),
    Column("trial_id", Integer),
    Column("key", String),
    Column("value_json", Text),
)


def _study() -> Column[int]:
    return Column(
        "study_id", ForeignKey("studies.study_id", ondelete="CASCADE"), nullable=False, index=True
    )


studies = Table(
    "lr_study",
    metadata,
    Column(
        "study_id",
        ForeignKey("studies.study_id", ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
    ),
    Column("name", String(200), nullable=False, unique=True),
    Column("definition", JSON, nullable=False),  # StudySpec.to_dict()
    Column("spec_hash", String(64), nullable=False),
    Column("code", JSON, nullable=False),  # file to SHA-256; never code, never a path of a machine
    Column("versions", JSON, nullable=False),  # lrsearch, torch, optuna at creation
    Column("state", String(16), nullable=False),
    Column("steps_per_epoch", Integer, nullable=False),  # of the task without params
    Column("trials_total", Integer),
    Column("trials_used", Integer, nullable=False),
    Column("epochs_total", Float),
    Column("epochs_used", Float, nullable=False),  # by ended trials and confirmation runs
    Column("epochs_reserved", Float, nullable=False),  # by running ones, at their full horizon
    Column("seconds_total", Float),
    Column("first_ask_at", Float),
    Column("created_at", Float, nullable=False),
    # {known, extended, warm_start}: what it took over at creation, see study/create.py
    Column("origin", JSON(none_as_null=True)),
)

trials = Table(
    "lr_trial",
    metadata,
    Column("id", Integer, primary_key=True),
    _study(),
    Column("ticket", Integer, nullable=False),  # 1-based, without gaps: the budget's count
    Column("trial_id", ForeignKey("trials.trial_id", ondelete="CASCADE"), unique=True),  # Optuna's
    Column("number", Integer),  # Optuna's
    Column("kind", String(16), nullable=False),  # sampled or a kind of the queue
    Column("recipe", JSON(none_as_null=True)),
    Column("state", String(16), nullable=False),
    Column("worker", String(200)),  # NULL while running: free to be taken over
    Column("attempt", Integer, nullable=False),  # fencing token: in the WHERE of every write
    Column("value", Float),
    Column("best_validation", Integer),
    Column("metrics", JSON(none_as_null=True)),
    Column("reason", Text),
    Column("epochs", Float, nullable=False),
    Column("seconds", Float, nullable=False),
    Column("started_at", Float, nullable=False),
    Column("ended_at", Float),
    UniqueConstraint("study_id", "ticket", name="uq_lr_trial_ticket"),
    Index("ix_lr_trial_state", "study_id", "state"),
)


def _trial() -> Column[int]:
    return Column("trial", ForeignKey("lr_trial.id", ondelete="CASCADE"), primary_key=True)


curves = Table(
    "lr_curve",
    metadata,
    _trial(),
    Column("attempt", Integer, primary_key=True),
    Column("validation", Integer, primary_key=True),  # 1-based
    Column("epoch", Float, nullable=False),
    Column("step", Integer, nullable=False),
    Column("lr", Float, nullable=False),
    Column("train_loss", Float),
    Column("val_loss", Float),
    Column("val_loss_ema", Float),
    Column("metrics", JSON, nullable=False),
    Column("grad_norm", Float),
    Column("seconds", Float, nullable=False),
)

rungs = Table(
    "lr_rung",
    metadata,
    _trial(),
    Column("rung", Integer, primary_key=True),
    _study(),
    Column("value", Float, nullable=False),
    Index("ix_lr_rung_value", "study_id", "rung", "value"),
)

queue = Table(
    "lr_queue",
    metadata,
    Column("id", Integer, primary_key=True),
    _study(),
    Column("kind", String(16), nullable=False),  # baseline | enqueued | warm_start | textbook
    Column("recipe", JSON, nullable=False),
    Column("ticket", Integer),  # of the trial that took it
)

confirmations = Table(
    "lr_confirm",
    metadata,
    Column("id", Integer, primary_key=True),
    _study(),
    Column("round", String(16), nullable=False),  # choose | report
    Column("role", String(16), nullable=False),  # candidate | winner | baseline
    Column("number", Integer, nullable=False),  # of the search trial whose recipe it re-runs
    Column("seed", Integer, nullable=False),
    Column("state", String(16), nullable=False),  # a TrialState
    Column("worker", String(200)),
    Column("attempt", Integer, nullable=False),
    Column("value", Float),
    Column("metrics", JSON(none_as_null=True)),
    Column("reason", Text),
    Column("epochs", Float, nullable=False),
    Column("seconds", Float, nullable=False),
    UniqueConstraint("study_id", "round", "number", "seed", name="uq_lr_confirm_run"),
)

range_tests = Table(
    "lr_range_test",
    metadata,
    Column("id", Integer, primary_key=True),
    _study(),
    Column("optimizer", String(200), nullable=False),
    Column("seeds", Integer, nullable=False),  # ramps at most
    Column("epochs_reserved", Float, nullable=False),  # of the study's budget, until it ends
    Column("state", String(16), nullable=False),  # waiting, then a TrialState
    Column("worker", String(200)),
    Column("attempt", Integer, nullable=False),
    Column("result", JSON(none_as_null=True)),  # the test's own document, see range_tests.py
    Column("reason", Text),
    Column("epochs", Float, nullable=False),
    Column("seconds", Float, nullable=False),
    UniqueConstraint("study_id", "optimizer", name="uq_lr_range_test"),
)
