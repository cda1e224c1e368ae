"""The first tables."""

import sqlalchemy as sa
from alembic import op

revision = "001"
down_revision = None


def _study() -> "sa.Column[int]":
    key = sa.ForeignKey("studies.study_id", ondelete="CASCADE")
    return sa.Column("study_id", sa.Integer, key, nullable=False, index=True)


def _trial() -> "sa.Column[int]":
    return sa.Column(
        "trial", sa.Integer, sa.ForeignKey("lr_trial.id", ondelete="CASCADE"), primary_key=True
    )


def upgrade() -> None:
    op.create_table(
        "lr_study",
        sa.Column(
            "study_id",
            sa.Integer,
            sa.ForeignKey("studies.study_id", ondelete="CASCADE"),
            primary_key=True,
            autoincrement=False,
        ),
        sa.Column("name", sa.String(200), nullable=False, unique=True),
        sa.Column("definition", sa.JSON, nullable=False),
        sa.Column("spec_hash", sa.String(64), nullable=False),
        sa.Column("code", sa.JSON, nullable=False),
        sa.Column("versions", sa.JSON, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("steps_per_epoch", sa.Integer, nullable=False),
        sa.Column("trials_total", sa.Integer),
        sa.Column("trials_used", sa.Integer, nullable=False),
        sa.Column("epochs_total", sa.Float),
        sa.Column("epochs_used", sa.Float, nullable=False),
        sa.Column("epochs_reserved", sa.Float, nullable=False),
        sa.Column("seconds_total", sa.Float),
        sa.Column("first_ask_at", sa.Float),
        sa.Column("created_at", sa.Float, nullable=False),
    )
    op.create_table(
        "lr_trial",
        sa.Column("id", sa.Integer, primary_key=True),
        _study(),
        sa.Column("ticket", sa.Integer, nullable=False),
        sa.Column(
            "trial_id",
            sa.Integer,
            sa.ForeignKey("trials.trial_id", ondelete="CASCADE"),
            unique=True,
        ),
        sa.Column("number", sa.Integer),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("recipe", sa.JSON),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("worker", sa.String(200)),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("value", sa.Float),
        sa.Column("best_validation", sa.Integer),
        sa.Column("metrics", sa.JSON),
        sa.Column("reason", sa.Text),
        sa.Column("epochs", sa.Float, nullable=False),
        sa.Column("seconds", sa.Float, nullable=False),
        sa.Column("started_at", sa.Float, nullable=False),
        sa.Column("ended_at", sa.Float),
        sa.UniqueConstraint("study_id", "ticket", name="uq_lr_trial_ticket"),
    )
    op.create_index("ix_lr_trial_state", "lr_trial", ["study_id", "state"])
    op.create_table(
        "lr_curve",
        _trial(),
        sa.Column("attempt", sa.Integer, primary_key=True),
        sa.Column("validation", sa.Integer, primary_key=True),
        sa.Column("epoch", sa.Float, nullable=False),
        sa.Column("step", sa.Integer, nullable=False),
        sa.Column("lr", sa.Float, nullable=False),
        sa.Column("train_loss", sa.Float),
        sa.Column("val_loss", sa.Float),
        sa.Column("val_loss_ema", sa.Float),
        sa.Column("metrics", sa.JSON, nullable=False),
        sa.Column("grad_norm", sa.Float),
        sa.Column("seconds", sa.Float, nullable=False),
    )
    op.create_table(
        "lr_rung",
        _trial(),
        sa.Column("rung", sa.Integer, primary_key=True),
        _study(),
        sa.Column("value", sa.Float, nullable=False),
    )
    op.create_index("ix_lr_rung_value", "lr_rung", ["study_id", "rung", "value"])
    op.create_table(
        "lr_queue",
        sa.Column("id", sa.Integer, primary_key=True),
        _study(),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("recipe", sa.JSON, nullable=False),
        sa.Column("ticket", sa.Integer),
    )
    op.create_table(
        "lr_confirm",
        sa.Column("id", sa.Integer, primary_key=True),
        _study(),
        sa.Column("round", sa.String(16), nullable=False),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("seed", sa.Integer, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("worker", sa.String(200)),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("value", sa.Float),
        sa.Column("metrics", sa.JSON),
        sa.Column("reason", sa.Text),
        sa.Column("epochs", sa.Float, nullable=False),
        sa.Column("seconds", sa.Float, nullable=False),
        sa.UniqueConstraint("study_id", "round", "number", "seed", name="uq_lr_confirm_run"),
    )
