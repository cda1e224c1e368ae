"""Trials that are not counted, recipes that are not trained twice, spaces that are exhausted."""

import sqlalchemy as sa
from alembic import op

revision = "008"
down_revision = "007"


def upgrade() -> None:
    op.add_column(
        "lr_study", sa.Column("trials_returned", sa.Integer, nullable=False, server_default="0")
    )
    op.add_column("lr_study", sa.Column("exhausted_at", sa.Float))
    op.add_column("lr_trial", sa.Column("fingerprint", sa.String(64)))
    op.create_index("ix_lr_trial_fingerprint", "lr_trial", ["study_id", "fingerprint"])
