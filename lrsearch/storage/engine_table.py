"""Our table of which engine trains a study's trials on which device, and how that was measured."""

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    String,
    Table,
    UniqueConstraint,
)

from lrsearch.storage.column_types import ShortWords, Words
from lrsearch.storage.tables import metadata, of_study

_MEASURED_FOR = ("task", "setting", "device", "precision", "torch", "wanted")

engines = Table(
    "lr_engine",
    metadata,
    Column("id", Integer, primary_key=True),
    of_study(),
    # What the measurement holds for: code_hash of the task; SHA-256 of what else makes a step what
    # it is (params, batch size, optimizers and the like), see fusing.py; hardware by its name.
    Column("task", String(64), nullable=False),
    Column("setting", String(64), nullable=False),
    Column("device", ShortWords(200), nullable=False),
    Column("precision", String(16), nullable=False),
    Column("torch", String(64), nullable=False),
    Column("wanted", String(16), nullable=False),  # see fusing.compiling.recorded_as
    Column("engine", String(16), nullable=False),  # solo | compiled | fused
    Column("size", Integer, nullable=False),  # trials at once; 1 for solo
    Column("reason", Words, nullable=False),
    Column("fits", Boolean),  # whether the task can be fused; NULL if that was not tried
    Column("most", Integer, nullable=False),  # trials at once, up to which it was measured
    Column("budget", String(100), nullable=False),  # of the study then; another one asks anew
    Column("timings", JSON, nullable=False),  # size to seconds per trial-step; 1 is solo
    Column("probe_seconds", Float, nullable=False),
    Column("calibration_seconds", Float, nullable=False),
    Column("chosen_at", Float, nullable=False),
    UniqueConstraint("study_id", *_MEASURED_FOR, name="uq_lr_engine_choice"),
    Index("ix_lr_engine_task", "task", "setting"),
)
