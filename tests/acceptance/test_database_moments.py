"""What databases go through, and what people do to studies, under real workers and commands."""

from postgres import Server
from processes import until
from sites import assert_exact, opened_site
from tiny_studies import TRIALS, make_study

from lrsearch.report.summary import trial_rows
from lrsearch.storage import workers as storage_workers
from lrsearch.study.prepare_database import prepare


def test_workers_wait_while_a_server_takes_no_writes(tmp_path):
    server = Server(synchronous_commit="on")
    server.start()
    try:
        with opened_site(server.url(server.create()), tmp_path) as site:
            prepare(site.database)
            search = make_study(site.database)
            site.say("slow")
            workers = [site.worker() for _ in range(2)]
            until(lambda: site.ended() >= 2)
            read_only(server, "on")
            until(lambda: all("the database is read-only" in worker.err for worker in workers))
            for words in (["study", "pause", "tiny"], ["study", "delete", "tiny", "--yes"]):
                refused = site.command(*words)
                assert refused.wait() == 1
                assert one_line(refused).startswith("Error: storage postgresql://")
                assert "in a read-only transaction; the server is a replica" in refused.err
            site.command("study", "show", "tiny").succeed()
            read_only(server, "off")
            site.say("")
            for worker in workers:
                worker.succeed()
                assert "the database answers again after" in worker.err
                assert "Traceback" not in worker.err
            assert_exact(search)
            assert [row["attempts"] for row in trial_rows(search)] == [1] * TRIALS
    finally:
        server.stop()


def read_only(server, value):
    """Begin or end a moment, as a failover or an administrator does; sessions are ended."""
    server.execute(f"ALTER SYSTEM SET default_transaction_read_only = {value}")
    server.execute("SELECT pg_reload_conf()")
    others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename IS NOT NULL"
    server.execute(f"{others} AND pid <> pg_backend_pid()")


def one_line(command):
    """The last line of what a command said; there is no more than one error."""
    assert "Traceback" not in command.err
    assert command.err.count("Error: ") == 1
    return command.err.strip().splitlines()[-1]


def assert_unharmed(site, new):
    """The next study of the same name has nothing of a worker of the one before."""
    assert site.counts() == dict.fromkeys(site.counts(), 0)
    with site.database.read() as connection:
        assert storage_workers.everyone(connection, new.study_id) == []


def test_a_study_that_is_deleted_and_made_anew_is_none_of_its_workers(site):
    make_study(site.database)
    site.say("hold")
    worker = site.worker()
    site.held(1)
    site.command("study", "delete", "tiny", "--yes").succeed()
    new = make_study(site.database, seed=7)
    site.say("")
    assert worker.wait() == 1
    assert "study 'tiny' was deleted: its workers end" in one_line(worker)
    assert_unharmed(site, new)


def test_a_run_whose_study_is_deleted_says_so(sqlite_site):
    site = sqlite_site
    run, _ = site.hold_run(1)
    site.command("study", "delete", "tiny", "--yes").succeed()
    new = make_study(site.database, seed=7)
    site.say("")
    assert run.wait() == 1
    assert "study 'tiny' was deleted" in one_line(run)
    assert_unharmed(site, new)


def test_a_file_that_is_moved_away_stops_its_workers(sqlite_site):
    """Nothing is reported as done, and no empty database is left in its place."""
    site = sqlite_site
    run, _ = site.hold_run(1)
    path = site.database.path
    path.rename(path.with_name("elsewhere.db"))
    site.say("")
    assert run.wait() == 1
    assert "the file was moved or removed while it was in use" in one_line(run)
    assert not path.exists()
    assert "recommend" not in run.out
