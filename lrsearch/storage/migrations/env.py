"""Alembic's entry point; `lrsearch.storage.schema` hands in the connection."""

from alembic import context

context.configure(
    connection=context.config.attributes["connection"], version_table="lr_alembic_version"
)
with context.begin_transaction():
    context.run_migrations()
