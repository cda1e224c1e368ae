import pytest
from sites import opened_site


@pytest.fixture
def site(prepared_url, tmp_path):
    with opened_site(prepared_url, tmp_path) as site:
        yield site


@pytest.fixture
def sqlite_site(sqlite_url, tmp_path):
    with opened_site(sqlite_url, tmp_path) as site:
        yield site


@pytest.fixture
def postgres_site(postgres_url, tmp_path):
    with opened_site(postgres_url, tmp_path) as site:
        yield site
