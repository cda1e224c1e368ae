"""Workers that a call of this process starts."""

import subprocess
from types import SimpleNamespace

import pytest
from forked_workers import Forked

from lrsearch.worker import processes


@pytest.fixture(scope="module", autouse=True)
def _workers_start_quickly():
    before = processes.subprocess
    processes.subprocess = SimpleNamespace(**{**vars(subprocess), "Popen": Forked})
    yield
    processes.subprocess = before
