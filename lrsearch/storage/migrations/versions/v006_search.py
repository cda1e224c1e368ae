"""Metrics of averaged weights, audited trials, and the score on the test set."""

import sqlalchemy as sa
from alembic import op

revision = "006"
down_revision = "005"


def upgrade() -> None:
    op.add_column("lr_curve", sa.Column("metrics_ema", sa.JSON))
    op.add_column("lr_trial", sa.Column("audited_at", sa.Integer))
    op.add_column("lr_trial", sa.Column("audit_from", sa.Float))
    op.add_column("lr_confirm", sa.Column("test", sa.JSON))
