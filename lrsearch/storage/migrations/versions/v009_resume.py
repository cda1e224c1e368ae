"""How trials of a user's own script go on after an interruption."""

import sqlalchemy as sa
from alembic import op

revision = "009"
down_revision = "008"


def upgrade() -> None:
    op.add_column("lr_study", sa.Column("resume", sa.String(400)))
