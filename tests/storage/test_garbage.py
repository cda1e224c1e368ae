"""Rows that nobody reads any more: they go, and nothing of what is read does."""

import json

import pytest
from click.testing import CliRunner
from sqlalchemy import select, update
from tiny_studies import ask, curve_row, ended, make_study

from lrsearch.cli import cli
from lrsearch.report.summary import trial_rows
from lrsearch.storage import checkpoints, claims, curves, garbage
from lrsearch.storage.tables import checkpoints as checkpoint_table
from lrsearch.storage.tables import leases as lease_table
from lrsearch.trial.states import TrialState


@pytest.fixture
def search(database):
    """A study with a trial that ended in its second attempt, and one that runs."""
    search = make_study(database)
    first = ask(search)
    with database.begin() as connection:
        assert curves.add(connection, first.claim, [curve_row(1), curve_row(2)])
        assert claims.release(connection, first.claim)
    again = ask(search, "host:2:2")
    assert again.number == first.number
    assert search.tell(again, ended(TrialState.COMPLETE), [curve_row(i) for i in (1, 2, 3)])
    ask(search)
    return search


@pytest.mark.parametrize("attempts", [False, True])
def test_what_ended_leaves_nothing_behind_that_nobody_reads(database, search, attempts):
    def rows():
        with database.read() as connection:
            return (
                trial_rows(search),
                curves.of_study(connection, search.study_id),
                len(curves.of_study(connection, search.study_id, all_attempts=True)),
                len(connection.execute(select(lease_table.c.item)).all()),
            )

    shown, curve, validations, leases = rows()
    with database.begin() as connection:
        counted = garbage.count(connection, attempts=attempts)
    assert rows() == (shown, curve, validations, leases)
    with database.begin() as connection:
        assert garbage.remove(connection, attempts=attempts) == counted
        assert garbage.count(connection, attempts=attempts) == garbage.Garbage(
            leases=0, checkpoints=0, attempts=0
        )
    assert (counted.leases, counted.attempts) == (1, 2 if attempts else 0)
    assert rows() == (shown, curve, validations - counted.attempts, leases - 1)


def test_records_of_removed_checkpoints_go_with_their_trial(database, search):
    with database.begin() as connection:
        ids = list(connection.execute(select(lease_table.c.item).order_by(lease_table.c.item)))
        for (item,) in ids:
            row = {"study_id": search.study_id, "kind": "trial", "item": item, "slot": 0}
            more = {"attempt": 1, "step": 1, "file": "f", "sha256": "0" * 64, "saved_at": 0.0}
            connection.execute(checkpoint_table.insert().values(**row, **more, bytes=0))
        assert garbage.remove(connection, attempts=False).checkpoints == 1
        connection.execute(update(checkpoint_table).values(bytes=7))
        assert garbage.count(connection, attempts=False).checkpoints == 0
        assert checkpoints.total_bytes(connection, search.study_id) >= 0


def test_the_command_counts_or_removes(database, search):
    def gc(*words):
        words = ["db", "gc", "--json", "--storage", str(database.location.url), *words]
        result = CliRunner().invoke(cli, words)
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    if not database.is_sqlite:
        pytest.skip("its URL may not hold a password")
    found = {"leases": 1, "checkpoints": 0, "attempts": 2}
    assert gc("--attempts", "--dry-run") == {**found, "removed": False}
    assert gc("--attempts") == {**found, "removed": True}
    assert gc("--attempts", "--dry-run") == {**dict.fromkeys(found, 0), "removed": False}
