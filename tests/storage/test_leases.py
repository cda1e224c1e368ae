"""Leases: held until they end, renewed by their holder alone, taken back once, and counted."""

import pytest
from sqlalchemy import select, update
from tiny_studies import ask, ended, make_study

from lrsearch.confirmation.runs import PlannedRun
from lrsearch.storage import confirmations, leases, range_tests, trials
from lrsearch.storage.column_types import db_now
from lrsearch.storage.leases import TABLES, Claim, Freed, Kind
from lrsearch.storage.range_tests import PlannedTest
from lrsearch.storage.tables import leases as lease_table
from lrsearch.trial.states import TrialState

#: So short that a server which began to answer before the test has long been up.
BRIEF = 0.001
SEEDS = PlannedTest(optimizer="adamw", seeds=1, epochs_reserved=2.0)
RUN = PlannedRun(round="choose", role="candidate", number=0, seed=5)


@pytest.fixture
def search(database):
    return make_study(database)


def hold(search, kind, worker="a:1:1", lease=600.0):
    """One thing of this kind, claimed."""
    study = search.study_id
    with search.database.begin() as connection:
        if kind == Kind.RANGE_TEST:
            range_tests.add(connection, study, [SEEDS])
            row = range_tests.claim(connection, study, worker, lease)
            return range_tests.claim_of(row)
        if kind == Kind.CONFIRMATION:
            confirmations.add(connection, study, [RUN])
            return confirmations.claim_of(confirmations.claim(connection, study, worker, lease))
    return ask(search, worker).claim


def row_of(search, claim):
    table = TABLES[claim.kind]
    with search.database.read() as connection:
        query = select(table).where(table.c.id == claim.id)
        return dict(connection.execute(query).mappings().one())


def let_expire(search):
    with search.database.begin() as connection:
        connection.execute(update(lease_table).values(expires_at=db_now() - 1))


def reap(search, **options):
    with search.database.begin() as connection:
        return leases.reap(connection, search.study_id, BRIEF, **options)


def test_a_clock_that_was_set_back_stops_no_reaping(search):
    """Leases that began by the earlier clock end an hour too late, and seem to be alive."""
    claim = hold(search, Kind.TRIAL)
    with search.database.begin() as connection:
        connection.execute(update(lease_table).values(expires_at=db_now() + 3600))
        assert leases.reap(connection, search.study_id, BRIEF) == []
        leases.shorten(connection, search.study_id, 60.0)
        assert leases.of_item(connection, Kind.TRIAL, claim.id).left == pytest.approx(60, abs=5)
        leases.shorten(connection, search.study_id, 31.0)
        assert leases.of_item(connection, Kind.TRIAL, claim.id).left > 40  # may be a slow renewal


def renew(search, claim, seconds=600.0):
    with search.database.begin() as connection:
        return leases.renew(connection, [claim], seconds).get(claim)


@pytest.mark.parametrize("kind", list(Kind))
def test_what_is_not_renewed_in_time_is_freed_once_and_its_death_counted(search, kind):
    claim = hold(search, kind)
    assert reap(search) == []
    let_expire(search)
    (freed,) = reap(search)
    assert freed == Freed(kind=kind, id=claim.id, attempt=1, worker="a:1:1", deaths=1)
    assert reap(search) == []
    row = row_of(search, claim)
    assert (row["worker"], row["deaths"], row["state"]) == (None, 1, "running")
    assert renew(search, claim) is None


@pytest.mark.parametrize("kind", list(Kind))
def test_whoever_takes_over_counts_on_and_the_first_holder_writes_nothing_more(search, kind):
    old = hold(search, kind)
    let_expire(search)
    reap(search)
    with search.database.begin() as connection:
        new = leases.take_free(connection, kind, old.id, "b:2:2", 600.0)
        assert new == Claim(kind=kind, id=old.id, attempt=2, worker="b:2:2")
        assert leases.take_free(connection, kind, old.id, "c:3:3", 600.0) is None
    assert renew(search, old) is None
    assert renew(search, new) is False
    assert reap(search) == []
    let_expire(search)
    assert [freed.deaths for freed in reap(search)] == [2]


def test_a_lease_is_held_as_long_as_it_is_renewed(search):
    claim = hold(search, Kind.TRIAL, lease=0.0)
    assert renew(search, claim) is False
    assert reap(search) == []


def test_the_dead_are_freed_before_their_lease_ends(search):
    claim = hold(search, Kind.TRIAL, worker="dead:1:1")
    hold(search, Kind.TRIAL, worker="alive:1:1")
    assert [freed.id for freed in reap(search, dead=["dead:1:1"])] == [claim.id]


def test_a_claim_without_a_lease_is_nobodys(search):
    claim = hold(search, Kind.TRIAL)
    with search.database.begin() as connection:
        connection.execute(lease_table.delete())
    assert [freed.id for freed in reap(search)] == [claim.id]


def test_after_a_servers_start_nothing_expires_for_the_time_of_a_lease(search):
    hold(search, Kind.TRIAL)
    let_expire(search)
    with search.database.begin() as connection:
        freed = leases.reap(connection, search.study_id, 1e6)
    assert len(freed) == (1 if search.database.is_sqlite else 0)  # SQLite has no server


def test_what_was_released_or_ended_holds_no_lease(search):
    released, told = ask(search, "a:1:1"), ask(search, "b:1:1")
    with search.database.begin() as connection:
        assert leases.holders(connection, search.study_id) == ["a:1:1", "b:1:1"]
        assert leases.release(connection, search.study_id, ["a:1:1"]) == 1
    assert search.tell(told, ended(TrialState.FAILED, reason="x"))
    assert renew(search, released.claim) is None
    assert renew(search, told.claim) is None
    let_expire(search)
    assert reap(search) == []
    assert row_of(search, released.claim)["deaths"] == 0
    with search.database.begin() as connection:
        assert leases.holders(connection, search.study_id) == []
        assert leases.end_stale(connection, search.study_id) == 2  # let_expire dated them anew


def test_a_stop_is_heard_at_the_next_renewal_by_whoever_holds_it(search):
    claim = hold(search, Kind.TRIAL)
    with search.database.begin() as connection:
        assert leases.ask_to_stop(connection, Kind.TRIAL, claim.id)
        assert not leases.ask_to_stop(connection, Kind.TRIAL, claim.id + 1)
    assert renew(search, claim) is True
    let_expire(search)
    reap(search)
    with search.database.begin() as connection:
        row = trials.take_over(connection, search.study_id, "b:2:2", 600.0)
    taken = Claim(id=row.id, attempt=row.attempt, worker="b:2:2")
    assert renew(search, taken) is True
