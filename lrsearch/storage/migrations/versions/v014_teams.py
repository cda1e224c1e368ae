"""Projects with quotas, owners, priorities, and who changed what."""

import sqlalchemy as sa
from alembic import op

revision = "014"
down_revision = "013"


def upgrade() -> None:
    project = sa.Column("project", sa.String(200), nullable=False, server_default="default")
    op.add_column("lr_study", project)
    op.add_column("lr_study", sa.Column("owner", sa.String(100)))
    op.add_column("lr_study", sa.Column("priority", sa.Integer, nullable=False, server_default="0"))
    op.add_column("lr_study", sa.Column("max_workers", sa.Integer))
    op.create_index("ix_lr_study_project", "lr_study", ["project"])
    study = sa.table(
        "lr_study", sa.column("study_id"), sa.column("project"), sa.column("definition", sa.JSON)
    )
    connection = op.get_bind()
    for number, definition in connection.execute(sa.select(study.c.study_id, study.c.definition)):
        mine = sa.update(study).where(study.c.study_id == number)
        connection.execute(mine.values(project=definition.get("project", "")[:200] or "default"))
    op.create_table(
        "lr_project",
        sa.Column("name", sa.String(200), primary_key=True),
        sa.Column("device_hours", sa.Float),
        sa.Column("deleted_seconds", sa.Float, nullable=False),
    )
    op.create_table(
        "lr_action",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("at", sa.Float, nullable=False),
        sa.Column("project", sa.String(200), nullable=False, index=True),
        sa.Column("study", sa.String(200)),
        sa.Column("who", sa.String(100), nullable=False),
        sa.Column("host", sa.String(200), nullable=False),
        sa.Column("what", sa.String(400), nullable=False),
    )
