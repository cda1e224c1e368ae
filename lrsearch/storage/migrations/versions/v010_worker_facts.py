"""What each worker ran: its command line, machine, packages and data."""

import sqlalchemy as sa
from alembic import op

revision = "010"
down_revision = "009"


def upgrade() -> None:
    op.add_column("lr_worker", sa.Column("facts", sa.JSON))
