"""What a study took over from others when it was created."""

import sqlalchemy as sa
from alembic import op

revision = "003"
down_revision = "002"


def upgrade() -> None:
    op.add_column("lr_study", sa.Column("origin", sa.JSON))
