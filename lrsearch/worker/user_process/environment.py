"""The environment variables that a process of the user's code is given."""

import os

#: What the process has none of: the database is not its business.
SECRETS = (
    "LRSEARCH_STORAGE",
    "LRSEARCH_STORAGE_FILE",
    "LRSEARCH_READ_STORAGE",
    "PGPASSWORD",
    "PGPASSFILE",
)


def environment_without_secrets() -> dict[str, str]:
    """This process's own, without what opens the database."""
    return {key: value for key, value in os.environ.items() if key not in SECRETS}
