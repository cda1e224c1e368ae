"""A pooler between workers and PostgreSQL: each transaction may have another session."""

import threading

import pytest
from pooler import pooled, sees_own_backend
from proxy import Proxy
from sites import assert_exact, opened_site
from sqlalchemy import text
from tiny_studies import make_study, opened

from lrsearch.storage.outages import Patience
from lrsearch.storage.postgresql import Transaction, identity
from lrsearch.study.prepare_database import prepare

TABLES = "SELECT DISTINCT table_schema FROM information_schema.tables WHERE table_name LIKE 'lr%'"


@pytest.fixture(params=["session", "transaction"])
def pooler(request, postgres):
    with pooled(postgres, request.param) as port:
        yield port


@pytest.fixture
def url(postgres, pooler):
    """Of a new, empty database, through the pooler."""
    name = postgres.create()
    yield postgres.url(name, port=pooler)
    postgres.drop(name)


def test_a_study_is_made_and_trained_through_a_pooler(url, postgres, tmp_path):
    assert not sees_own_backend(url)
    with opened(url) as database:
        prepare(database)
        with database.begin() as connection:
            assert connection.execute(text(TABLES)).scalars().all() == ["lrsearch"]
    with opened_site(url, tmp_path) as site:
        search = make_study(site.database)
        workers = [site.worker(), site.worker()]
        for worker in workers:
            worker.succeed()
            assert "Traceback" not in worker.err
        assert_exact(search)


def test_many_clients_share_three_sessions(postgres, tmp_path):
    """What one leaves in a session is nothing to the next; none waits for another without end."""
    name = postgres.create()
    with pooled(postgres, "transaction", size=3) as port:
        url = postgres.url(name, port=port)
        with opened(url) as database, opened(url) as other:
            prepare(database)
            for _ in range(10):  # psycopg prepares what comes again
                with database.begin() as connection, other.read() as second:
                    for one in (connection, second):
                        shown = "SELECT current_schema(), current_setting('TimeZone')"
                        assert one.execute(text(shown)).one() == ("lrsearch", "UTC")
        with opened_site(url, tmp_path) as site:
            search = make_study(site.database, budget={"trials": 4})
            for worker in [site.worker(), site.worker()]:
                worker.succeed()
            assert_exact(search, total=4)
    postgres.drop(name)


def test_nobody_elses_session_is_ended(url, postgres):
    """After a lost acknowledgement the end of the earlier transaction is waited for, by its id."""
    with opened(url) as database:
        prepare(database)
    proxy = Proxy(int(url.rpartition(":")[2].partition("/")[0]))
    try:
        with opened(url.replace(url.rpartition(":")[2].partition("/")[0], str(proxy.port))) as db:
            db.patience = Patience(seconds=60.0)
            with db.begin() as connection:
                assert isinstance(identity(connection), Transaction)
            # The pooler forwards a COMMIT or drops it with its client: either way, once.
            proxy.cut_after(b"COMMIT")
            assert db.run(add, recall=found) in ([1000], "added")
            assert db.look(found) == [1000]
            silences = iter([proxy.silence])

            def work(connection):
                added = add(connection, 1001)
                for silence in silences:
                    silence()
                    threading.Timer(0.5, proxy.resume).start()
                return added

            db.run(work, recall=added_1001, answer_seconds=0.3)
            assert db.look(found) == [1000, 1001]
    finally:
        proxy.close()


def add(connection, number=1000):
    connection.execute(text("INSERT INTO lr_study_id (id) VALUES (:id)"), {"id": number})
    return "added"


def found(connection):
    return connection.execute(text("SELECT id FROM lr_study_id ORDER BY id")).scalars().all()


def added_1001(connection):
    return "found" if 1001 in found(connection) else None
