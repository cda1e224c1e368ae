import pytest
from sites import opened_site
from tiny_studies import opened

from lrsearch.study.database import prepare


@pytest.fixture
def site(prepared_url, tmp_path):
    with opened_site(prepared_url, tmp_path) as site:
        yield site


@pytest.fixture
def sqlite_site(tmp_path):
    url = f"sqlite:///{tmp_path}/study.db"
    with opened(url) as database:
        prepare(database)
    with opened_site(url, tmp_path) as site:
        yield site


@pytest.fixture
def postgres_site(postgres, tmp_path):
    name = postgres.create()
    with opened_site(postgres.url(name), tmp_path) as site:
        prepare(site.database)
        yield site
    postgres.drop(name)
