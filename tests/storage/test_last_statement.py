"""The last statement of a transaction is sent together with the COMMIT, on PostgreSQL."""

import psycopg
import pytest
from psycopg.pq import TransactionStatus
from sqlalchemy import event, text
from sqlalchemy.exc import IntegrityError, OperationalError
from tiny_studies import ask, curve_row, ended, make_study, opened

from lrsearch.storage.last_statement import CommittingSession, execute_last
from lrsearch.storage.moments import Trouble, moment_of
from lrsearch.trial.states import TrialState

INSERT = text("INSERT INTO t VALUES (:x) RETURNING x")


@pytest.fixture
def postgres_table(postgres_url):
    """A database with a table `t`, of whose sessions one has prepared the statement."""
    with opened(postgres_url) as database:
        with database.begin() as connection:
            unique = "UNIQUE DEFERRABLE INITIALLY IMMEDIATE"
            connection.execute(text(f"CREATE TABLE t (x integer {unique})"))
        for x in (1, 2):
            assert insert_last(database, x) == x
        yield database
        with database.begin() as connection:
            connection.execute(text("DROP TABLE t"))


def insert_last(database, x, *, after=()):
    with database.engine.begin() as connection:
        for statement in after:
            connection.execute(statement)
        return execute_last(connection, INSERT, {"x": x}).scalar_one()


def stored(database):
    with database.begin() as connection:
        return sorted(connection.execute(text("SELECT x FROM t")).scalars())


def test_it_is_committed_when_the_statement_returns(postgres_table):
    with postgres_table.begin() as connection:
        connection.execute(INSERT, {"x": 3})
        assert stored(postgres_table) == [1, 2]
        assert execute_last(connection, INSERT, {"x": 4}).scalar_one() == 4
        assert stored(postgres_table) == [1, 2, 3, 4]


def test_only_the_last_statement_is(postgres_table):
    insert_last(postgres_table, 3)
    with postgres_table.begin() as connection:
        connection.execute(INSERT, {"x": 4})
        assert stored(postgres_table) == [1, 2, 3]
        connection.rollback()
    assert stored(postgres_table) == [1, 2, 3]


def test_of_a_statement_that_fails_nothing_is_stored(postgres_table):
    with pytest.raises(IntegrityError):
        insert_last(postgres_table, 2, after=[text("INSERT INTO t VALUES (3)")])
    assert stored(postgres_table) == [1, 2]
    assert insert_last(postgres_table, 5) == 5  # the session is as good as before


def test_a_commit_that_fails_is_raised(postgres_table):
    with pytest.raises(IntegrityError):
        insert_last(postgres_table, 2, after=[text("SET CONSTRAINTS ALL DEFERRED")])
    assert stored(postgres_table) == [1, 2]
    assert insert_last(postgres_table, 5) == 5


def test_a_session_that_is_ended_meanwhile_is_replaced(postgres_table, caplog):
    query = text("SELECT pg_terminate_backend(pg_backend_pid()) WHERE :on")
    for on in (False, False):
        with postgres_table.begin() as connection:
            execute_last(connection, query, {"on": on})
    with pytest.raises(OperationalError) as raised, postgres_table.engine.begin() as connection:
        execute_last(connection, query, {"on": True})
    assert raised.value.connection_invalidated
    assert moment_of(raised.value).trouble == Trouble.AWAY
    assert caplog.messages == []
    assert insert_last(postgres_table, 3) == 3


def test_a_session_whose_answer_is_cut_off_is_replaced(postgres_table, monkeypatch, caplog):
    """It cannot leave pipeline mode, in which SQLAlchemy's rollback would fail with a traceback."""

    def cut_off(session):
        session.pgconn.send_query_params(b"SELECT pg_sleep(0.2)", None)
        raise psycopg.OperationalError("cut off")

    with monkeypatch.context() as patched:
        patched.setattr(CommittingSession, "commit", cut_off)
        with pytest.raises(OperationalError) as raised:
            insert_last(postgres_table, 3)
    assert raised.value.connection_invalidated
    assert caplog.messages == []
    assert stored(postgres_table) == [1, 2]
    assert insert_last(postgres_table, 3) == 3


def test_on_sqlite_it_is_a_statement_as_any(sqlite_url):
    with opened(sqlite_url) as database:
        with database.begin() as connection:
            connection.execute(text("CREATE TABLE t (x integer)"))
        with database.begin() as connection:
            assert execute_last(connection, INSERT, {"x": 1}).scalar_one() == 1
            connection.rollback()
        assert stored(database) == []


def test_a_claim_and_an_end_hold_the_studys_row_for_no_round_trip(postgres_url):
    """Both are over in the server when they return; a recipe's transaction holds no such row."""
    with opened(postgres_url) as database:
        search = make_study(database, budget={"trials": 9})
        for _ in range(3):
            assert search.tell(ask(search), ended(TrialState.COMPLETE), [curve_row(1)])
        found = []
        event.listen(database.engine, "commit", lambda c: found.append(status_of(c)))
        assignment = ask(search)
        assert found == [TransactionStatus.IDLE, TransactionStatus.INTRANS]
        found.clear()
        assert search.tell(assignment, ended(TrialState.COMPLETE), [curve_row(1)])
        assert found == [TransactionStatus.IDLE]


def status_of(connection):
    return connection.connection.driver_connection.info.transaction_status
