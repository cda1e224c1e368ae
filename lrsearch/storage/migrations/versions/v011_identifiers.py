"""Identifiers of studies, trials, range tests and confirmation runs are never given out again.

On PostgreSQL they come from sequences. SQLite gives the number of a deleted row to the next one,
unless a table says AUTOINCREMENT, for which it is made anew.
"""

import sqlalchemy as sa
from alembic import op

revision = "011"
down_revision = "010"

HELD = ("lr_trial", "lr_confirm", "lr_range_test")


def upgrade() -> None:
    op.create_table("lr_study_id", sa.Column("id", sa.Integer, primary_key=True))
    op.execute("INSERT INTO lr_study_id (id) SELECT study_id FROM lr_study")
    if op.get_bind().dialect.name != "sqlite":
        return
    for table in HELD:
        with op.batch_alter_table(
            table, recreate="always", table_kwargs={"sqlite_autoincrement": True}
        ):
            pass
