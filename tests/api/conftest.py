"""Workers that a call of this process starts."""

import subprocess
from types import SimpleNamespace

import pytest
from forked_workers import Forked

from lrsearch.worker import local_workers


@pytest.fixture(scope="module", autouse=True)
def _workers_start_quickly():
    before = local_workers.subprocess
    local_workers.subprocess = SimpleNamespace(**{**vars(subprocess), "Popen": Forked})
    yield
    local_workers.subprocess = before
