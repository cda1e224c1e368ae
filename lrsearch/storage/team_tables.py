"""Our tables of what people share: projects, and who changed what."""

from sqlalchemy import Column, Float, Integer, String, Table

from lrsearch.storage.column_types import ShortWords
from lrsearch.storage.tables import metadata

# What holds for all studies of a project; one without a row has no limit.
projects = Table(
    "lr_project",
    metadata,
    Column("name", String(200), primary_key=True),
    Column("device_hours", Float),  # of training, in all; NULL: no limit
    # Of training by studies and confirmation runs that are gone, less what stands twice in studies
    # that were extended.
    Column("deleted_seconds", Float, nullable=False),
)

# Who changed what. No foreign key: it outlives the study.
actions = Table(
    "lr_action",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("at", Float, nullable=False),
    Column("project", String(200), nullable=False, index=True),
    Column("study", String(200)),  # its name then; NULL: the project itself
    Column("who", ShortWords(100), nullable=False),
    Column("host", ShortWords(200), nullable=False),
    Column("what", ShortWords(400), nullable=False),
)
