"""All of our tables, those of other modules than `tables` too."""

from lrsearch.storage import engine_table, team_tables
from lrsearch.storage.tables import metadata

#: Names of the tables, in the order in which they may be made.
NAMES = tuple(table.name for table in metadata.sorted_tables if table.name.startswith("lr_"))

__all__ = ["NAMES", "engine_table", "metadata", "team_tables"]
