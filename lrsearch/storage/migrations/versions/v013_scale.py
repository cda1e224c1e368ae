"""What workers decide by is counted on: marks at rungs by their cut, trials by when they moved."""

import sqlalchemy as sa
from alembic import op

revision = "013"
down_revision = "012"


def upgrade() -> None:
    study = sa.ForeignKey("studies.study_id", ondelete="CASCADE")
    op.create_table(
        "lr_rung_count",
        sa.Column("study_id", sa.Integer, study, primary_key=True),
        sa.Column("rung", sa.Integer, primary_key=True),
        sa.Column("marks", sa.Integer, nullable=False),
        sa.Column("cut_value", sa.Float),
        sa.Column("cut_trial", sa.Integer),
        sa.Column("below", sa.Integer, nullable=False),
    )
    op.add_column("lr_study", sa.Column("moves", sa.Integer, nullable=False, server_default="0"))
    op.add_column("lr_trial", sa.Column("moved", sa.Integer))
    op.create_index("ix_lr_trial_moved", "lr_trial", ["study_id", "moved"])
    op.create_index(
        "ix_lr_trial_free",
        "lr_trial",
        ["study_id", "state", "ticket"],
        postgresql_where=sa.text("worker IS NULL"),
        sqlite_where=sa.text("worker IS NULL"),
    )
    op.drop_index("ix_lr_trial_state", "lr_trial")
    op.create_index("ix_lr_trial_state", "lr_trial", ["study_id", "state", "ticket"])
    op.drop_index("ix_lr_rung_value", "lr_rung")
    op.create_index("ix_lr_rung_value", "lr_rung", ["study_id", "rung", "value", "trial"])
