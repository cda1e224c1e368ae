"""Revisions that Alembic runs: files that nothing changes while a process lives.

Alembic reads all of them anew for each database that Optuna opens, which takes 20 ms of processor
time: most of what it takes to open one.
"""

import functools
from pathlib import Path

from alembic.util import pyfiles


def read_once():
    """Let this process, and what is forked from it, keep the revisions that it has read."""
    load = pyfiles.load_module_py
    loaded = functools.cache(load)

    def load_module_py(name, path):
        return (loaded if Path(path).parent.name == "versions" else load)(name, path)

    pyfiles.load_module_py = load_module_py
