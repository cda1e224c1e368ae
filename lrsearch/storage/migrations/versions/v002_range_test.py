"""Range tests of a study, one for each optimizer."""

import sqlalchemy as sa
from alembic import op

revision = "002"
down_revision = "001"


def upgrade() -> None:
    study = sa.ForeignKey("studies.study_id", ondelete="CASCADE")
    op.create_table(
        "lr_range_test",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("study_id", sa.Integer, study, nullable=False, index=True),
        sa.Column("optimizer", sa.String(200), nullable=False),
        sa.Column("seeds", sa.Integer, nullable=False),
        sa.Column("epochs_reserved", sa.Float, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("worker", sa.String(200)),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("result", sa.JSON),
        sa.Column("reason", sa.Text),
        sa.Column("epochs", sa.Float, nullable=False),
        sa.Column("seconds", sa.Float, nullable=False),
        sa.UniqueConstraint("study_id", "optimizer", name="uq_lr_range_test"),
    )
