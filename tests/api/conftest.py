"""Workers that a call of this process starts."""

import pytest
from forked_workers import started_quickly


@pytest.fixture(scope="module", autouse=True)
def _workers_start_quickly():
    with started_quickly():
        yield
