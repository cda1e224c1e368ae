"""The worker's second thread: renews while training gets on, and never on its own account."""

import time
from types import SimpleNamespace

import psycopg
import pytest
from processes import until
from sqlalchemy import delete, text, update
from sqlalchemy.exc import OperationalError
from tiny_studies import ask, curve_row, make_study

from lrsearch.confirmation.runs import PlannedRun
from lrsearch.storage import confirmations, curves, leases, trials, workers
from lrsearch.storage.column_types import db_now
from lrsearch.storage.leases import Kind
from lrsearch.storage.tables import leases as lease_table
from lrsearch.storage.tables import workers as worker_table
from lrsearch.study.open_study import LostTrialError
from lrsearch.worker.leases.curve_buffer import CurveBuffer
from lrsearch.worker.leases.renewal import LeaseRenewer, StopTrial, together

pytestmark = pytest.mark.both_databases

ME = "host:1:1"


@pytest.fixture
def search(database):
    search = make_study(database, lease={"seconds": 0.6, "stall": 1.0})
    with database.begin() as connection:
        workers.register(connection, search.study_id, ME, device="cpu", version="0")
    return search


@pytest.fixture
def renewer(search):
    with LeaseRenewer(search, ME, "cpu", "0") as renewer:
        yield renewer


def expires(search, claim):
    with search.database.read() as connection:
        return leases.of_item(connection, Kind.TRIAL, claim.id).expires_at


def seen(search):
    with search.database.read() as connection:
        (row,) = workers.everyone(connection, search.study_id)
    return row.seen_at, row.doing


def test_a_lease_is_renewed_while_training_gets_on_and_no_longer(search, renewer):
    claim = ask(search).claim
    with renewer.holding(claim, "trial 0"):
        first = expires(search, claim)

        def renewed_twice():
            renewer.beat()
            return expires(search, claim) > first + 0.4

        until(renewed_twice)
        renewer.check()
        # Now it hangs: no beat, no renewal, but the worker is still seen to live.
        until(lambda: (left := leases_left(search, claim)) is not None and left < 0)
        stamp, doing = seen(search)
        assert doing == "trial 0"
        until(lambda: seen(search)[0] > stamp)


def leases_left(search, claim):
    with search.database.read() as connection:
        return leases.of_item(connection, Kind.TRIAL, claim.id).left


def test_a_lease_that_another_took_is_lost_and_said_so(search, renewer):
    claim = ask(search).claim
    with renewer.holding(claim, "trial 0") as held:
        with search.database.begin() as connection:
            connection.execute(update(lease_table).values(expires_at=None))
        until(lambda: held.lost)
        with pytest.raises(LostTrialError, match="trial 0 was taken over"):
            held.check()
    renewer.check()


def test_of_many_claims_one_is_lost_and_the_others_are_renewed(search, renewer):
    claims = [ask(search).claim for _ in range(4)]
    rows = [CurveBuffer() for _ in claims]
    holds = [renewer.hold(claims[n], f"trial {n}", rows[n]) for n in range(4)]
    for buffer in rows:
        buffer.add(curve_row(1))
    with search.database.begin() as connection:
        leases.let_go(connection, claims[1])
        leases.ask_to_stop(connection, Kind.TRIAL, claims[2].id)
    first = [expires(search, claim) for claim in claims]

    def renewed_twice():
        renewer.beat()  # any of them gets on: all do
        return all(expires(search, claims[n]) > first[n] + 0.4 for n in (0, 2, 3))

    until(renewed_twice)
    assert [held.lost for held in holds] == [False, True, False, False]
    with pytest.raises(LostTrialError, match="trial 1 was taken over"):
        holds[1].check()
    with pytest.raises(StopTrial):
        holds[2].check()
    holds[0].check()
    assert seen(search)[1] == "trials 0, 1, 2 and 1 more"
    until(lambda: [buffer.pending() for n, buffer in enumerate(rows) if n != 1] == [[]] * 3)
    for held in holds[1:]:
        renewer.drop(held)
        renewer.drop(held)
    until(lambda: seen(search)[1] == "trial 0")
    for buffer in rows:
        buffer.close()


@pytest.mark.parametrize(
    ("doing", "words"),
    [
        ([], None),
        (["drawing trial 3"], "drawing trial 3"),
        (["trial 3", "drawing trial 4"], "trial 3 and 1 more"),
        ([f"trial {n}" for n in range(3, 11)], "trials 3, 4, 5 and 5 more"),
        (["confirmation of trial 3, seed 5"] * 8, "confirmation of trial 3, seed 5 and 7 more"),
    ],
)
def test_what_a_worker_does_fits_in_a_few_words(doing, words):
    assert together(doing) == words


def test_a_trial_that_ends_while_the_thread_renews_was_not_lost(search, renewer):
    for _ in range(3):
        claim = ask(search).claim
        with renewer.holding(claim, "x") as held, search.database.begin() as connection:
            leases.release(connection, search.study_id, [ME])
        held.check()


def test_a_worker_that_the_database_has_forgotten_is_written_down_again(search, renewer):
    """A failover may lose the first commit of a worker; its study is there."""
    seen(search)
    with search.database.begin() as connection:
        connection.execute(delete(worker_table))
    until(lambda: registered(search) == [ME])
    renewer.check()


def registered(search):
    with search.database.read() as connection:
        return [row.name for row in workers.everyone(connection, search.study_id)]


def test_of_two_equal_claims_the_first_is_lost(search, renewer):
    """A database that lost the first gives its number, and so its claim, out again."""
    claim = ask(search).claim
    first, second = renewer.hold(claim, "trial 0"), renewer.hold(claim, "trial 0")
    with pytest.raises(LostTrialError):
        first.check()
    second.check()


def test_somebody_asks_for_the_end(search, renewer):
    claim = ask(search).claim
    with renewer.holding(claim, "trial 0") as held:
        with search.database.begin() as connection:
            leases.ask_to_stop(connection, Kind.TRIAL, claim.id)

        def heard():
            renewer.beat()
            try:
                held.check()
            except StopTrial:
                return True

        until(heard)


def test_curve_rows_are_written_while_training_goes_on(database):
    search = make_study(database)  # with a lease that outlives a stall of this machine
    claim = ask(search).claim
    rows = CurveBuffer()
    with LeaseRenewer(search, ME, "cpu", "0") as renewer, renewer.holding(claim, "trial 0", rows):
        rows.add(curve_row(1))

        def written():
            renewer.beat()
            return rows.pending() == []

        until(written)
    with search.database.read() as connection:
        assert [row.validation for row in curves.of_trial(connection, claim.id)] == [1]
    rows.close()


def test_a_disk_without_room_for_curves_costs_no_lease(search, renewer, monkeypatch):
    def full(connection, claim, rows):
        raise OperationalError("INSERT", {}, psycopg.errors.DiskFull("no room"))

    monkeypatch.setattr(curves, "add", full)
    monkeypatch.setattr(
        "lrsearch.worker.leases.renewal.BATCH_SECONDS", 0.0
    )  # it is tried again and again
    claim = ask(search).claim
    rows = CurveBuffer()
    with renewer.holding(claim, "trial 0", rows):
        rows.add(curve_row(1))
        first = expires(search, claim)

        def renewed_twice():
            renewer.beat()
            return expires(search, claim) > first + 0.4

        until(renewed_twice)
    assert len(rows.pending()) == 1
    rows.close()


def test_what_others_lost_is_freed_by_the_clock(search, renewer):
    other = ask(search, "gone:1:1").claim
    with search.database.begin() as connection:
        connection.execute(update(lease_table).values(expires_at=db_now() - 100))
        # A server that answers only since a moment ago lets nothing expire yet.
    until(lambda: other.worker not in holders(search))


def holders(search):
    with search.database.read() as connection:
        return leases.holders(connection, search.study_id)


def test_whoever_was_out_of_touch_itself_takes_nothing_for_a_whole_lease(search, monkeypatch):
    renewer = LeaseRenewer(search, ME, "cpu", "0")
    reaped = []
    monkeypatch.setattr(renewer, "_reap", lambda: reaped.append(time.monotonic()))
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(
        "lrsearch.worker.leases.renewal.time", SimpleNamespace(monotonic=lambda: clock.now)
    )
    try:
        looks(renewer, clock, seconds=0.5)
        assert reaped == []  # it has just begun to look
        looks(renewer, clock, seconds=0.5)
        assert reaped
        clock.now += 5.0  # asleep, or without the database
        reaped.clear()
        looks(renewer, clock, seconds=0.55)
        assert reaped == []
        looks(renewer, clock, seconds=0.5)
        assert reaped
        # Suspended: the machine's clock stood still, the database's went on.
        renewer._stamp -= 5.0
        clock.now += 0.2
        looks(renewer, clock, seconds=0.05)
        reaped.clear()
        looks(renewer, clock, seconds=0.5)
        assert reaped == []
    finally:
        renewer.database.close()


def looks(renewer, clock, seconds):
    for _ in range(round(seconds / 0.05)):
        renewer._look()
        clock.now += 0.05


def test_a_database_that_is_away_does_not_end_the_thread_a_defect_does(search, monkeypatch):
    troubles = [OperationalError("SELECT", {}, psycopg.OperationalError("away"))] * 3

    def renew(renewer, held, now):
        if troubles:
            raise troubles.pop()
        raise ZeroDivisionError("a defect")

    monkeypatch.setattr(LeaseRenewer, "_renew", renew)
    with LeaseRenewer(search, ME, "cpu", "0") as renewer:
        until(lambda: not renewer._thread.is_alive())
        assert troubles == []
        with pytest.raises(ZeroDivisionError):
            renewer.check()


def test_the_thread_ends_with_its_worker(search):
    with LeaseRenewer(search, ME, "cpu", "0") as renewer:
        thread = renewer._thread
        assert thread.is_alive()
    assert not thread.is_alive()
    with search.database.read() as connection:
        assert connection.execute(text("SELECT 1")).scalar() == 1


def test_a_slow_draw_keeps_its_lease(database):
    search = make_study(database, lease={"seconds": 1.5, "stall": 30})
    with database.begin() as connection:
        workers.register(connection, search.study_id, ME, device="cpu", version="0")
    with LeaseRenewer(search, ME, "cpu", "0") as renewer:

        def slow(params):
            renewer.beat()
            time.sleep(3.5)  # several leases: the user's task function loads its data
            return 16

        assignment = search.ask(ME, slow, renewer.holding)
    assert assignment.claim.attempt == 1
    assert expires(search, assignment.claim) > 0
    with database.read() as connection:
        assert leases.holders(connection, search.study_id) == [ME]


def test_only_a_trial_is_ended_on_request(search, renewer):
    with search.database.begin() as connection:
        planned = PlannedRun(round="choose", role="candidate", number=0, seed=5)
        confirmations.add(connection, search.study_id, [planned])
        run = confirmations.claim(connection, search.study_id, ME, 600.0)
        leases.ask_to_stop(connection, Kind.CONFIRMATION, run.id)
    with renewer.holding(confirmations.claim_of(run), "confirmation") as held:
        before = seen(search)[0]
        until(lambda: seen(search)[0] > before + 0.3)
        held.check()


@pytest.mark.parametrize("hung", [False, True], ids=["asleep", "hung"])
def test_a_lease_that_a_living_worker_lost_counts_as_a_death_only_if_it_hung(database, hung):
    stall = 0.01 if hung else 600.0
    search = make_study(database, lease={"seconds": 2.0, "stall": stall})
    with database.begin() as connection:
        workers.register(connection, search.study_id, ME, device="cpu", version="0")
    claim = ask(search).claim
    with LeaseRenewer(search, ME, "cpu", "0") as renewer, renewer.holding(claim, "trial 0") as held:
        with database.begin() as connection:
            connection.execute(update(lease_table).values(expires_at=db_now() - 100))
            assert leases.reap(connection, search.study_id, 0.001)[0].deaths == 1
        if hung:
            until(lambda: held.hung)
            renewer.beat()
        until(lambda: renewer.beat() or held.lost)
    with database.read() as connection:
        assert trials.by_number(connection, search.study_id, 0).deaths == (1 if hung else 0)
