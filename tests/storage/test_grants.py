"""Three roles of a PostgreSQL database: what `lrsearch db grants` prints is enough for each, and no
more than that."""

import pytest
from click.testing import CliRunner
from command import run_command
from processes import finish, in_process
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError
from tiny_studies import make_study, opened, work

from lrsearch.cli.main import cli
from lrsearch.report import files
from lrsearch.report.comparison.load import Named, load_comparison
from lrsearch.report.dashboard.site import Site
from lrsearch.report.live.follow import Watcher
from lrsearch.report.summary import curve_rows, summarize, trial_rows
from lrsearch.storage.outages import Patience
from lrsearch.study.open_study import OpenStudy
from lrsearch.study.prepare_database import grant_statements, open_database, prepare

ROLES = ("an admin", "a worker", "a reader")  # names that need quotes


@pytest.fixture(scope="module")
def urls(postgres):
    """URLs of a database for each of its roles, whose rights are those that are printed."""
    name = postgres.create()
    for role in ROLES:
        postgres.execute(f"CREATE ROLE \"{role}\" LOGIN PASSWORD 'secret'")
    with opened(postgres.url(name)) as database:
        prepare(database)
    admin, worker, reader = ROLES
    words = ["db", "grants", "--admin", admin, "--worker", worker, "--reader", reader]
    printed = CliRunner().invoke(cli, words).output
    for _ in range(2):  # again after every upgrade
        postgres.execute(printed, database=name)
    yield [postgres.url(name, user=role, password="secret") for role in ROLES]
    postgres.drop(name)
    for role in ROLES:
        postgres.execute(f'DROP ROLE "{role}"')


def test_statements_are_printed_in_one_transaction():
    lines = CliRunner().invoke(cli, ["db", "grants"]).output.splitlines()
    code = [line for line in lines if not line.startswith("--")]
    expected = grant_statements("lrsearch_admin", "lrsearch_worker", "lrsearch_reader")
    assert code == [f"{statement};" for statement in ["BEGIN", *expected, "COMMIT"]]


@pytest.mark.parametrize("role", ["", " ", "a\nDROP TABLE x", "x" * 64, "lrsearch_reader"])
def test_roles_that_cannot_be_are_refused_before_anything_is_printed(role, tmp_path):
    ended = run_command("db", "grants", "--worker", role, folder=tmp_path)
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.startswith("Error: ")
    assert len(ended.err.splitlines()) == 1


def be_a_worker(url):
    with opened(url) as database:
        work(OpenStudy.open(database, "tiny"))


def test_each_role_does_its_work(urls, tmp_path, monkeypatch):
    admin, worker, reader = urls
    with opened(admin) as database:
        assert not prepare(database)
        make_study(database, range_test="auto", baseline={"optimizer": {"name": "sgd", "lr": 0.1}})
        make_study(database, name="other")
    assert finish(in_process(be_a_worker, worker)) == [0]
    monkeypatch.setenv("LRSEARCH_STORAGE", reader)
    search = OpenStudy.open(open_database(None), "tiny")
    study = summarize(search)
    assert study["state"] == "finished"
    assert study["confirmed"]
    assert len(trial_rows(search)) == 12
    assert curve_rows(search, number=None, all_attempts=False)[0]
    compared = [Named.parse(name) for name in ("tiny", "other")]
    assert load_comparison(compared, {None: search.database}).labels == ("tiny", "other")
    watcher = Watcher(search.database, "tiny", patience=Patience(seconds=0))
    assert [event.kind for event in watcher.look().events] == ["watched", "study_finished"]
    assert ">finished</td><td>12 of 12</td>" in Site(search.database).index().text
    assert (files.write_files(search, tmp_path / "report")[1] / "report.html").is_file()
    search.database.close()
    with opened(admin) as database:
        search = OpenStudy.open(database, "tiny")
        search.delete()
        with database.read() as connection:
            assert connection.execute(text("SELECT count(*) FROM lr_trial")).scalar_one() == 0


NOT_FOR_WORKERS = [
    "DELETE FROM lr_trial",
    "TRUNCATE lr_event",
    "DROP TABLE lr_curve",
    "ALTER TABLE lr_trial ADD COLUMN more integer",
    "CREATE TABLE more (x integer)",
    "CREATE FUNCTION f() RETURNS integer LANGUAGE sql AS 'SELECT 1'",
    "UPDATE lr_study SET definition = '{}'",
    "UPDATE lr_study SET code = '{}'",
    "UPDATE lr_study SET priority = 9",
    "UPDATE lr_study SET max_workers = NULL",
    "UPDATE lr_project SET device_hours = NULL",
    "INSERT INTO lr_project (name, deleted_seconds) VALUES ('p', -1)",
    "UPDATE lr_action SET who = 'another'",
    "INSERT INTO lr_action (at, project, who, host, what) VALUES (0, 'p', 'another', 'h', 'w')",
    "UPDATE lr_queue SET recipe = '{}'",
    "INSERT INTO lr_study_id (id) VALUES (99)",
    "INSERT INTO studies (study_name) VALUES ('theirs')",
    "UPDATE studies SET study_name = 'theirs'",
    "UPDATE lr_alembic_version SET version_num = '9'",
    "UPDATE version_info SET schema_version = 9",
]
NOT_FOR_READERS = [
    *NOT_FOR_WORKERS,
    "INSERT INTO lr_queue (study_id, kind, recipe) VALUES (1, 'enqueued', '{}')",
    "UPDATE lr_trial SET value = 0",
    "UPDATE lr_study SET trials_used = 0",
    "UPDATE lr_lease SET stop = true",
    "INSERT INTO trials (study_id) VALUES (1)",
    "SELECT nextval('lr_trial_id_seq')",
]


FOR_WORKERS = [
    "UPDATE lr_trial SET value = 0, state = 'complete', reason = 'so it is'",
    "UPDATE lr_study SET trials_used = 1000",
    "UPDATE lr_lease SET stop = true",
    "UPDATE lr_curve SET val_loss = 0",
]


@pytest.mark.parametrize("statement", FOR_WORKERS)
def test_a_worker_may_write_what_trials_are(urls, statement):
    """The threat model says so: a worker's word is taken for what its trials gave."""
    with opened(urls[1]) as database, database.engine.connect() as connection:
        connection.execute(text(statement))
        connection.rollback()


@pytest.mark.parametrize(
    ("role", "statement"),
    [(1, statement) for statement in NOT_FOR_WORKERS]
    + [(2, statement) for statement in NOT_FOR_READERS],
)
def test_a_role_may_do_no_more(urls, role, statement):
    with (
        opened(urls[role]) as database,
        database.engine.connect() as connection,
        pytest.raises(ProgrammingError, match=r"permission denied|must be owner"),
    ):
        connection.execute(text(statement))


@pytest.mark.parametrize(
    ("role", "words"),
    [
        (1, ["study", "delete", "tiny", "--yes"]),
        (2, ["study", "pause", "tiny"]),
        (2, ["study", "repair", "tiny"]),
        (2, ["trial", "stop", "tiny", "0"]),
    ],
)
def test_a_command_that_its_role_may_not_give_ends_in_one_line(urls, tmp_path, role, words):
    folder = tmp_path / "work"
    folder.mkdir()
    with opened(urls[0]) as database:
        search = make_study(database)
        search.ask("elsewhere:1:1", lambda params: 16)
        asked = run_command(*words, folder=folder, LRSEARCH_STORAGE=urls[role])
        search.delete()
    assert asked.code == 1
    (line,) = asked.err.splitlines()
    assert line.startswith("Error: storage")
    assert "this role may not do that (permission denied for table " in line
    assert "lrsearch db grants" in line


def test_what_an_upgrade_adds_is_read_by_both(urls):
    with opened(urls[0]) as database, database.begin() as connection:
        connection.execute(text("CREATE TABLE more (x integer)"))
    for url in urls[1:]:
        with opened(url) as database, database.read() as connection:
            assert connection.execute(text("SELECT count(*) FROM more")).scalar_one() == 0
    with opened(urls[0]) as database, database.begin() as connection:
        connection.execute(text("DROP TABLE more"))
