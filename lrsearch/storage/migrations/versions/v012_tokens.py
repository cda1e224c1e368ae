"""Each study gets a random token, by which a worker knows it again whatever its number is."""

import secrets

import sqlalchemy as sa
from alembic import op

revision = "012"
down_revision = "011"


def upgrade() -> None:
    op.add_column("lr_study", sa.Column("token", sa.String(32)))
    study = sa.table("lr_study", sa.column("study_id"), sa.column("token"))
    connection = op.get_bind()
    for number in connection.execute(sa.select(study.c.study_id)).scalars().all():
        mine = sa.update(study).where(study.c.study_id == number)
        connection.execute(mine.values(token=secrets.token_hex(16)))
