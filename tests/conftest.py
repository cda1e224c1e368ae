import gc
import logging
import os
import shutil
import sys

import pytest
import revisions
import shared_server
import statements
import torch
from hypothesis import settings
from postgres import Copies, Server
from tiny_studies import opened

from lrsearch.study.prepare_database import prepare

# Where it is set, each process that a test starts compiles the package again.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False
revisions.read_once()
statements.compile_once()

# The same examples in every run, so that a red test means a changed program;
# `--hypothesis-profile explore` looks for new ones.
settings.register_profile("gate", deadline=None, max_examples=50, derandomize=True)
settings.register_profile("explore", deadline=None, max_examples=1000, derandomize=False)
settings.load_profile("gate")


#: Where a test runs on PostgreSQL too if it is marked `both_databases`, and else with `-m slow`.
#: Marked is what a database might do differently: who wins of several that write at once, what is
#: left of one that dies between two statements, rows that SQL has written past lrsearch. What a
#: study and a worker do besides is the same, and tests/storage runs each statement on both.
MOSTLY_SQLITE = {"report", "study", "transfer", "worker"}
#: Of the other marked tests one case does.
EVERY_CASE = {"test_hostile_rows.py", "test_open_study.py", "test_optuna_rows.py"}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Mark as slow what on PostgreSQL repeats what is proved on SQLite."""
    seen = set()
    for item in items:
        params = item.callspec.params.values() if hasattr(item, "callspec") else ()
        if item.path.parent.name not in MOSTLY_SQLITE or "postgresql" not in params:
            continue
        test = item.path, item.originalname
        again = test in seen and item.path.name not in EVERY_CASE
        if again or not item.get_closest_marker("both_databases"):
            item.add_marker(pytest.mark.slow)
        seen.add(test)


def pytest_collection_finish():
    """What is imported by now is no garbage; looking for any in there takes a tenth of the time.

    Tests make little: to look for it at each 700th object takes another tenth.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 10)


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    """Results are bitwise equal on one thread only, and tiny models are faster with it."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def _one_fork_server(tmp_path_factory):
    """The processes of one run share it, and it has what is set before the first test."""
    shared_server.environment = {**os.environ}
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared_server.folder = tmp_path_factory.getbasetemp().parent


@pytest.fixture(autouse=True)
def _default_log_level():
    """Commands and benchmarks that were run in this process have set how much is logged."""
    logging.getLogger("lrsearch").setLevel(logging.NOTSET)


@pytest.fixture(scope="session")
def postgres():
    """A PostgreSQL server, started when a test first asks for one."""
    server = Server()
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture(params=["sqlite", "postgresql"])
def storage_url(request, tmp_path):
    """A new, empty database: the URL of a file that is not there yet, or of one on the server."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/study.db"
        return
    postgres = request.getfixturevalue("postgres")
    name = postgres.create()
    yield postgres.url(name)
    postgres.drop(name)


@pytest.fixture(scope="session")
def _sqlite_template(tmp_path_factory):
    path = tmp_path_factory.mktemp("template") / "template.db"
    with opened(f"sqlite:///{path}") as database:
        prepare(database)
    return path


@pytest.fixture(scope="session")
def postgres_copies(postgres):
    """Databases on the server with all tables, each as good as new when it is lent."""
    name = postgres.create()
    with opened(postgres.url(name)) as database:
        prepare(database)
    return Copies(postgres, name)


@pytest.fixture
def sqlite_url(_sqlite_template, tmp_path):
    """The URL of an SQLite file with all tables, as `prepare` makes them."""
    path = shutil.copy(_sqlite_template, tmp_path / "study.db")
    return f"sqlite:///{path}"


@pytest.fixture
def postgres_url(postgres_copies):
    """The URL of a PostgreSQL database with all tables and no rows, as `prepare` makes them."""
    name = postgres_copies.lend()
    yield postgres_copies.server.url(name)
    postgres_copies.take_back(name)


@pytest.fixture(params=["sqlite", "postgresql"])
def prepared_url(request):
    """The URL of such a database of either kind."""
    kind = {"sqlite": "sqlite_url", "postgresql": "postgres_url"}[request.param]
    return request.getfixturevalue(kind)


@pytest.fixture
def database(prepared_url):
    """A new database with all tables, opened."""
    with opened(prepared_url) as database:
        yield database
