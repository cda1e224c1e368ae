"""Our tables (prefix `lr_`), beside Optuna's in the same database.

Optuna holds params, rung values, final value and state of each trial; everything dense, and
everything that workers decide by, is here. Times are seconds since 1970 by the database's clock.
"""

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    UniqueConstraint,
    text,
)

from lrsearch.plain_data import Document
from lrsearch.storage.column_types import ShortWords, Words

metadata = MetaData()

# Optuna's, as far as ours refer to them.
optuna_studies = Table(
    "studies", metadata, Column("study_id", Integer, primary_key=True), Column("study_name", String)
)
optuna_trials = Table("trials", metadata, Column("trial_id", Integer, primary_key=True))


# Of studies, those that are gone too: SQLite gives a deleted row's number to the next one.
study_ids = Table("lr_study_id", metadata, Column("id", Integer, primary_key=True))


def _ofof_study() -> ForeignKey:
    return ForeignKey("studies.study_id", ondelete="CASCADE")


def of_study() -> Column[int]:
    return Column("study_id", _ofof_study(), nullable=False, index=True)


studies = Table(
    "lr_study",
    metadata,
    Column("study_id", _ofof_study(), primary_key=True, autoincrement=False),
    Column("name", String(200), nullable=False, unique=True),
    Column("definition", JSON, nullable=False),  # StudySpec.to_dict()
    Column("spec_hash", String(64), nullable=False),
    Column("code", JSON, nullable=False),  # file to SHA-256; never code, never a path of a machine
    Column("versions", JSON, nullable=False),  # of packages and of the code, at creation
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
    Column("origin", JSON(none_as_null=True)),  # what it took over, see study/create.py
    Column("trials_ended", Integer, nullable=False, server_default="0"),
    Column("trials_returned", Integer, nullable=False, server_default="0"),  # do not count
    Column("resume", String(400)),  # how a script's trials go on after an interruption, or NULL
    Column("exhausted_at", Float),  # since when every recipe of the space has its trial
    Column("moves", Integer, nullable=False, server_default="0"),  # see `lr_trial.moved`
    # Random: a database that was restored from a backup may give a study's number to another one.
    Column("token", String(32)),
    Column("project", String(200), nullable=False, server_default="default", index=True),
    Column("owner", ShortWords(100)),  # who created it; NULL: an older version did
    Column("priority", Integer, nullable=False, server_default="0"),  # the highest is trained first
    Column("max_workers", Integer),  # that train it at once; NULL: as many as there are
)


def _deaths() -> Column[int]:
    """How often a worker was lost with it since its last checkpoint."""
    return Column("deaths", Integer, nullable=False, server_default="0")


_FREE: Document = {f"{name}_where": text("worker IS NULL") for name in ("postgresql", "sqlite")}
trials = Table(
    "lr_trial",
    metadata,
    Column("id", Integer, primary_key=True),
    of_study(),
    Column("ticket", Integer, nullable=False),  # 1-based, without gaps: the budget's count
    Column("trial_id", ForeignKey("trials.trial_id", ondelete="CASCADE"), unique=True),  # Optuna's
    Column("number", Integer),  # Optuna's
    Column("kind", String(16), nullable=False),  # sampled, machine or a kind of the queue
    Column("recipe", JSON(none_as_null=True)),
    Column("state", String(16), nullable=False),
    Column("worker", String(200)),  # NULL while running: free to be taken over
    Column("attempt", Integer, nullable=False),  # fencing token: in the WHERE of every write
    Column("value", Float),
    Column("best_validation", Integer),
    Column("metrics", JSON(none_as_null=True)),
    Column("reason", Words),
    Column("epochs", Float, nullable=False),
    Column("seconds", Float, nullable=False),
    Column("started_at", Float, nullable=False),
    Column("ended_at", Float),
    # 1-based, without gaps, in the order of commits: what is new comes after the last one seen.
    Column("ended", Integer),
    # Of an audited trial: at which rung it was to be pruned, after how many epochs.
    Column("audited_at", Integer),
    Column("audit_from", Float),
    _deaths(),
    Column("fingerprint", String(64)),  # of the recipe: recipe/fingerprint.py
    Column("moved", Integer),  # when it last began to wait or went on, in the order of commits
    UniqueConstraint("study_id", "ticket", name="uq_lr_trial_ticket"),
    Index("ix_lr_trial_state", "study_id", "state", "ticket"),
    Index("ix_lr_trial_free", "study_id", "state", "ticket", **_FREE),
    Index("ix_lr_trial_ended", "study_id", "ended"),
    Index("ix_lr_trial_moved", "study_id", "moved"),
    Index("ix_lr_trial_fingerprint", "study_id", "fingerprint"),
    sqlite_autoincrement=True,  # no id is given twice, as on PostgreSQL: claims name them
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
    Column("metrics_ema", JSON(none_as_null=True)),  # of the averaged weights; NULL: not validated
    Column("grad_norm", Float),
    Column("seconds", Float, nullable=False),
)

rungs = Table(
    "lr_rung",
    metadata,
    _trial(),
    Column("rung", Integer, primary_key=True),
    of_study(),
    Column("value", Float, nullable=False),
    Index("ix_lr_rung_value", "study_id", "rung", "value", "trial"),
)

# Of a rung's finite marks: how many there are, and how many before the cut; see rung_counts.py.
rung_counts = Table(
    "lr_rung_count",
    metadata,
    Column("study_id", _ofof_study(), primary_key=True),
    Column("rung", Integer, primary_key=True),
    Column("marks", Integer, nullable=False),
    Column("cut_value", Float),
    Column("cut_trial", Integer),
    Column("below", Integer, nullable=False),
)

queue = Table(
    "lr_queue",
    metadata,
    Column("id", Integer, primary_key=True),
    of_study(),
    # baseline | enqueued | warm_start | portfolio (once textbook) | sampled
    Column("kind", String(16), nullable=False),
    Column("recipe", JSON, nullable=False),
    Column("ticket", Integer),  # of the trial that took it
)

confirmations = Table(
    "lr_confirm",
    metadata,
    Column("id", Integer, primary_key=True),
    of_study(),
    Column("round", String(16), nullable=False),  # choose | report | test
    Column("role", String(16), nullable=False),  # candidate | winner | rival | baseline
    Column("number", Integer, nullable=False),  # of the search trial whose recipe it re-runs
    Column("seed", Integer, nullable=False),
    Column("state", String(16), nullable=False),  # a TrialState
    Column("worker", String(200)),
    Column("attempt", Integer, nullable=False),
    Column("value", Float),
    Column("metrics", JSON(none_as_null=True)),
    Column("test", JSON(none_as_null=True)),  # loss and metrics on the task's test set
    Column("reason", Words),
    Column("epochs", Float, nullable=False),
    Column("seconds", Float, nullable=False),
    _deaths(),
    UniqueConstraint("study_id", "round", "number", "seed", name="uq_lr_confirm_run"),
    sqlite_autoincrement=True,
)

range_tests = Table(
    "lr_range_test",
    metadata,
    Column("id", Integer, primary_key=True),
    of_study(),
    Column("optimizer", String(200), nullable=False),
    Column("seeds", Integer, nullable=False),  # ramps at most
    Column("epochs_reserved", Float, nullable=False),  # of the study's budget, until it ends
    Column("state", String(16), nullable=False),  # waiting, then a TrialState
    Column("worker", String(200)),
    Column("attempt", Integer, nullable=False),
    Column("result", JSON(none_as_null=True)),  # the test's own document, see range_tests.py
    Column("reason", Words),
    Column("epochs", Float, nullable=False),
    Column("seconds", Float, nullable=False),
    _deaths(),
    UniqueConstraint("study_id", "optimizer", name="uq_lr_range_test"),
    sqlite_autoincrement=True,
)

workers = Table(
    "lr_worker",
    metadata,
    Column("id", Integer, primary_key=True),
    of_study(),
    Column("name", String(200), nullable=False),  # host, process id, start time
    Column("device", ShortWords(32), nullable=False),
    Column("version", String(32), nullable=False),  # of lrsearch
    Column("doing", ShortWords(200)),  # in words; NULL while it looks for work
    Column("started_at", Float, nullable=False),
    Column("seen_at", Float, nullable=False),
    Column("ended_at", Float),  # NULL while it works, or if it ended without a word
    Column("facts", JSON(none_as_null=True)),  # worker_facts.WorkerFacts, once it trains
    UniqueConstraint("study_id", "name", name="uq_lr_worker_name"),
)

leases = Table(
    "lr_lease",
    metadata,
    Column("kind", String(16), primary_key=True),  # a storage.leases.Kind
    Column("item", Integer, primary_key=True),  # id of the trial, range test or confirmation run
    of_study(),
    Column("worker", String(200), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("expires_at", Float),  # NULL once it was let go
    Column("stop", Boolean, nullable=False),  # someone asked for its end
)

checkpoints = Table(
    "lr_checkpoint",
    metadata,
    Column("kind", String(16), primary_key=True),
    Column("item", Integer, primary_key=True),
    Column("slot", Integer, primary_key=True),  # 0, 1: the newest two; 2: a branch point
    of_study(),
    Column("attempt", Integer, nullable=False),
    Column("step", Integer, nullable=False),
    Column("file", String(400), nullable=False),  # its name in the study's checkpoint folder
    Column("sha256", String(64), nullable=False),
    Column("bytes", BigInteger, nullable=False),  # 0: removed
    Column("saved_at", Float, nullable=False),
)

events = Table(
    "lr_event",
    metadata,
    Column("id", Integer, primary_key=True),
    of_study(),
    Column("at", Float, nullable=False),
    Column("worker", String(200), nullable=False),
    Column("what", Words, nullable=False),  # one line for people
)
