"""Which engine a study's workers train with, and what was measured for that."""

import sqlalchemy as sa
from alembic import op

revision = "005"
down_revision = "004"

KEY = ("study_id", "task", "setting", "device", "precision", "torch", "wanted")


def upgrade() -> None:
    study = sa.ForeignKey("studies.study_id", ondelete="CASCADE")
    op.create_table(
        "lr_engine",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("study_id", sa.Integer, study, nullable=False, index=True),
        sa.Column("task", sa.String(64), nullable=False),
        sa.Column("setting", sa.String(64), nullable=False),
        sa.Column("device", sa.String(200), nullable=False),
        sa.Column("precision", sa.String(16), nullable=False),
        sa.Column("torch", sa.String(64), nullable=False),
        sa.Column("wanted", sa.String(16), nullable=False),
        sa.Column("engine", sa.String(16), nullable=False),
        sa.Column("size", sa.Integer, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("fits", sa.Boolean),
        sa.Column("most", sa.Integer, nullable=False),
        sa.Column("budget", sa.String(100), nullable=False),
        sa.Column("timings", sa.JSON, nullable=False),
        sa.Column("probe_seconds", sa.Float, nullable=False),
        sa.Column("calibration_seconds", sa.Float, nullable=False),
        sa.Column("chosen_at", sa.Float, nullable=False),
        sa.UniqueConstraint(*KEY, name="uq_lr_engine_choice"),
    )
    op.create_index("ix_lr_engine_task", "lr_engine", ["task", "setting"])
