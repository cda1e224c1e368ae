"""What docker-compose.yml runs, run as plain processes against a real, password-protected server:
its commands, its environment, its healthcheck and the commands in its header. Only where things are
is mapped: the host `db` and its port, /studies, /run/secrets."""

import os
import re
import shutil
import signal
import stat
import subprocess
from pathlib import Path

import psycopg
import pytest
import yaml
from processes import Command, until
from tiny_studies import TASKS, TRIALS, opened

from lrsearch.report.summary import summarize
from lrsearch.storage import leases, studies
from lrsearch.study.open_study import OpenStudy
from lrsearch.study.status import is_finished

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docker-compose.yml").read_text()
COMPOSE = yaml.safe_load(TEXT)
SERVICES = COMPOSE["services"]
#: The port that the header's pgpass line names.
PORT = "5432"


def header(pattern):
    """What the comment at the top says there, on one line."""
    comment = re.match(r"(#.*\n)+", TEXT).group()
    text = " ".join(line.lstrip("# ") for line in comment.splitlines())
    found = re.search(pattern, text)
    assert found, pattern
    return found.group(1)


class Stack:
    """The services' commands, with the secrets that the header's first step makes."""

    def __init__(self, folder, postgres):
        self.folder, self.postgres = folder, postgres
        self.work = folder / "work"
        tools = folder / "tools"
        tools.mkdir()
        if shutil.which("openssl") is None:
            (tools / "openssl").write_text(
                "#!/bin/sh\nod -An -tx1 -N24 /dev/urandom | tr -d ' \\n'\n"
            )
            (tools / "openssl").chmod(0o755)
        path = f"{os.environ['PATH']}:{tools}"
        steps = ["sh", "-ec", header(r"1\. (\(umask .*?\)\)?\" > secrets/pgpass\))")]
        subprocess.run(steps, cwd=folder, env={"PATH": path}, check=True)
        self.password = (folder / "secrets/postgres_password").read_text().strip()
        passwords = folder / "secrets/pgpass"
        line = passwords.read_text()
        assert line == f"db:{PORT}:lrsearch:lrsearch:{self.password}\n"
        passwords.write_text(line.replace(PORT, str(postgres.port)))

    def secret(self, place):
        """The file that the engine shows at /run/secrets/NAME."""
        name = place.removeprefix("/run/secrets/")
        return str(self.folder / COMPOSE["secrets"][name]["file"])

    def environment(self, service):
        given = {
            name: self.secret(value) if value.startswith("/run/secrets/") else value
            for name, value in SERVICES[service]["environment"].items()
        }
        # `db` is this machine here; the name stays what pgpass is asked for.
        return {**given, "PGHOSTADDR": "127.0.0.1", "PGPORT": str(self.postgres.port)}

    def lrsearch(self, service, *words, studies_folder=TASKS, **environment):
        """`docker compose run SERVICE WORDS`; without words, what `up` would run there."""
        words = words or tuple(SERVICES[service]["command"])
        place = str(studies_folder)
        words = [_interpolate(word, environment).replace("/studies", place) for word in words]
        given = {**self.environment(service), **environment}
        return Command(*words, folder=self.work, OMP_NUM_THREADS="1", **given)


def _interpolate(word, environment):
    """${NAME:-default}, as the engine does it."""

    def value(found):
        return environment.get(found.group(1)) or found.group(2)

    return re.sub(r"\$\{(\w+):-([^}]*)\}", value, word)


@pytest.fixture
def stack(tmp_path, postgres):
    """The database as the image makes it from its environment; and the services."""
    stack = Stack(tmp_path, postgres)
    given = SERVICES["db"]["environment"]
    user, database = given["POSTGRES_USER"], given["POSTGRES_DB"]
    password = Path(stack.secret(given["POSTGRES_PASSWORD_FILE"])).read_text().strip()
    postgres.execute(f"CREATE ROLE {user} SUPERUSER LOGIN PASSWORD '{password}'")
    postgres.execute(f"CREATE DATABASE {database} OWNER {user}")
    yield stack
    postgres.drop(database)
    postgres.execute(f"DROP ROLE {user}")


def assert_quiet(stack, *commands):
    """The password shows in no output."""
    for command in commands:
        assert stack.password not in command.out + command.err


def test_the_headers_secrets_are_for_their_owner_alone(stack):
    for name in COMPOSE["secrets"]:
        path = Path(stack.secret(name))
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert re.fullmatch(r"[0-9a-f]{48}", stack.password)


def test_the_server_lets_nobody_in_without_the_password(stack):
    address = f"host=127.0.0.1 port={stack.postgres.port} user=lrsearch dbname=lrsearch"
    with pytest.raises(psycopg.OperationalError, match="no password supplied"):
        psycopg.connect(f"{address} passfile=/dev/null")
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(f"{address} password=guess")


def test_the_healthcheck_tells_a_server_from_none(stack):
    kind, program, *arguments = SERVICES["db"]["healthcheck"]["test"]
    assert kind == "CMD"
    assert stack.postgres.binaries.joinpath(program).is_file()

    def check(port):
        words = [str(stack.postgres.binaries / program), *arguments]
        return subprocess.run(words, env={"PGPORT": str(port)}, capture_output=True).returncode

    assert check(stack.postgres.port) == 0
    assert check(1) != 0


def test_up_from_an_empty_database_to_a_finished_study(stack):
    init = stack.lrsearch("init")
    init.succeed()
    create = header(r"2\. docker compose run --rm worker (study create \S+)")
    create = stack.lrsearch("worker", *create.replace("digits", "tiny").split())
    out = create.succeed()
    assert out.splitlines()[0].startswith("storage: postgresql://lrsearch@db/lrsearch")
    assert "study tiny created" in out
    scale = int(header(r"up -d --scale worker=(\d+)"))
    workers = [stack.lrsearch("worker") for _ in range(scale)]
    with opened(stack.postgres.url("lrsearch")) as database:
        search = OpenStudy.open(database, "tiny")
        until(lambda: is_finished(search))
    for worker in workers:
        assert worker.alive  # it waits for another study
        worker.signal(signal.SIGTERM)
    for worker in workers:
        worker.succeed()
    show = header(r"Results: docker compose run --rm worker (study show digits)")
    show = stack.lrsearch("worker", *show.replace("digits", "tiny").split())
    assert "study tiny: finished" in show.succeed()
    assert_quiet(stack, init, create, *workers, show)
    with opened(stack.postgres.url("lrsearch")) as database:
        result = summarize(OpenStudy.open(database, "tiny"))
    assert result["budget"]["trials"] == {"total": TRIALS, "used": TRIALS}
    found = stack.postgres.execute(
        "SELECT DISTINCT schemaname, tableowner FROM pg_tables"
        " WHERE schemaname NOT IN ('pg_catalog', 'information_schema')",
        database="lrsearch",
    )
    assert found == [("lrsearch", "lrsearch")]


def test_the_headers_own_study_starts_stops_and_goes_on(stack):
    """`digits`, as the file has it: created, begun, stopped as `docker compose stop` does it."""
    stack.lrsearch("init").succeed()
    create = header(r"2\. docker compose run --rm worker (study create \S+)").split()
    stack.lrsearch("worker", *create, studies_folder=ROOT / "studies").succeed()
    with opened(stack.postgres.url("lrsearch")) as database:
        search = OpenStudy.open(database, "digits")

        def counts():
            with database.read() as connection:
                return studies.counts(connection, search.study_id)

        for attempt in (1, 2):
            started = sum(counts().values())
            worker = stack.lrsearch("worker", studies_folder=ROOT / "studies")
            until(lambda started=started: sum(counts().values()) > started)
            worker.signal(signal.SIGTERM)
            worker.succeed()
            with database.read() as connection:
                assert leases.holders(connection, search.study_id) == []
            assert attempt == 2 or sum(counts().values()) < 60
    show = header(r"Results: docker compose run --rm worker (study show digits)").split()
    assert "study digits: open" in stack.lrsearch("worker", *show).succeed()


def test_a_worker_without_its_secret_is_refused_in_one_line(stack):
    """So it is pgpass that lets the others in. libpq takes no pgpass that others can read."""
    stack.lrsearch("init").succeed()
    Path(stack.secret("pgpass")).chmod(0o644)
    refused = stack.lrsearch("worker")
    assert refused.wait() == 1
    lines = refused.err.splitlines()
    assert lines[-1].startswith("Error: storage postgresql://lrsearch@db/lrsearch")
    assert "password" in lines[-1]
    assert "Traceback" not in refused.err
    assert_quiet(stack, refused)


def test_a_worker_that_starts_before_the_tables_says_what_to_do(stack):
    """The order that `depends_on` keeps."""
    assert SERVICES["worker"]["depends_on"]["init"]["condition"] == "service_completed_successfully"
    refused = stack.lrsearch("worker")
    assert refused.wait() == 1
    assert re.fullmatch(r"Error: storage .* holds no studies; .*\n", refused.err)


@pytest.mark.parametrize("form", ["URL in a file", "URL in a variable", "password in a variable"])
def test_the_other_ways_to_hand_over_a_password(stack, form):
    url = f"postgresql://lrsearch:{stack.password}@127.0.0.1:{stack.postgres.port}/lrsearch"
    file = stack.folder / "secrets" / "storage"
    file.write_text(url + "\n")
    environment = {
        "URL in a file": {"LRSEARCH_STORAGE_FILE": str(file)},
        "URL in a variable": {"LRSEARCH_STORAGE": url},
        "password in a variable": {
            "LRSEARCH_STORAGE": url.replace(f":{stack.password}", ""),
            "PGPASSWORD": stack.password,
        },
    }[form]
    commands = []
    for words in (
        ["db", "init"],
        ["study", "create", TASKS / "tiny.yaml"],
        # `run` hands the storage on to its workers; the forms differ before that.
        ["run", TASKS / "tiny.yaml", "--workers", 1]
        if form == "URL in a file"
        else ["worker", "tiny", "--task-dir", TASKS],
    ):
        command = Command(*words, folder=stack.work, OMP_NUM_THREADS="1", **environment)
        command.succeed()
        commands.append(command)
    assert_quiet(stack, *commands)
    for path in stack.work.rglob("*"):
        if path.is_file():
            assert stack.password.encode() not in path.read_bytes()
