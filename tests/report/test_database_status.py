"""`lrsearch status` without a name: all studies of a database."""

import json

import pytest
from click.testing import CliRunner
from tiny_studies import TRIALS, ask, make_study, opened, work

from lrsearch.cli import cli
from lrsearch.report.database_status import database_status
from lrsearch.storage import workers


@pytest.fixture
def database(sqlite_url):
    with opened(sqlite_url) as database:
        yield database


def test_each_study_has_its_state_its_trials_and_its_workers(database):
    work(make_study(database, name="done"))
    search = make_study(database, name="begun")
    assert ask(search) is not None
    database.run(
        lambda connection: workers.register(
            connection, search.study_id, "host:1:1", device="cpu", version="0"
        )
    )
    begun, done = database_status(database)
    assert (begun.study, begun.state, begun.running, begun.workers) == ("begun", "open", 1, 1)
    assert (begun.trials_used, begun.trials_total, begun.trials_ended) == (1, TRIALS, 0)
    assert (done.study, done.state, done.running, done.workers) == ("done", "finished", 0, 0)
    assert done.trials_ended == TRIALS
    assert 0 <= begun.age_seconds <= done.age_seconds < 3600


def test_the_command_prints_lines_or_json(database, sqlite_url):
    def shown(*words):
        ended = CliRunner().invoke(cli, ["status", "--storage", sqlite_url, *words])
        assert ended.exit_code == 0
        return ended.output

    assert shown().splitlines()[1:] == ["no studies"]
    make_study(database)
    line = shown().splitlines()[1]
    assert line.startswith(f"tiny  open  0 trials ended, 0 of {TRIALS} started; 0 in training, ")
    (document,) = json.loads(shown("--json"))
    assert (document["study"], document["workers"]) == ("tiny", 0)
