"""A PostgreSQL server that lives as long as the process that started it."""

import os
import signal
import socket
import subprocess
import time
from functools import partial
from pathlib import Path
from types import FrameType
from urllib.parse import quote

from lrsearch.child_process import linux
from lrsearch.database_server.data_folder import ROLE, SUPERUSER, DataFolder
from lrsearch.errors import StorageError
from lrsearch.private_files import private

#: For a server to answer: one that was killed reads its log again first.
START_SECONDS = 300.0
#: For an earlier server on the same data to end.
EARLIER_SECONDS = 15.0
#: Between two looks at a server that starts.
LOOK_SECONDS = 0.1
#: Hosts that mean every address of the machine.
EVERY_ADDRESS = ("0.0.0.0", "::", "*")


class Server:
    """PostgreSQL on a data folder, listening on one host and port."""

    def __init__(self, folder: DataFolder, *, host: str, port: int) -> None:
        self.folder, self.host, self.port = folder, host, port
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """How workers name the database; the password is in the folder's password file."""
        host = socket.gethostname() if self.host in EVERY_ADDRESS else self.host
        return f"postgresql://{ROLE}@{f'[{host}]' if ':' in host else host}:{self.port}/{ROLE}"

    @property
    def local_url(self) -> str:
        """The same for this process, with the password."""
        secret = quote(self.folder.role_password(), safe="")
        return f"postgresql://{ROLE}:{secret}@{self._near}:{self.port}/{ROLE}"

    @property
    def _near(self) -> str:
        return "127.0.0.1" if self.host in EVERY_ADDRESS else self.host

    def start(self) -> None:
        """Start it, and wait until it answers; a new folder gets its role and its database.

        Raises StorageError where another server has the data or the port, or this one ends.
        """
        self._wait_for_earlier()
        self._look_at_port()
        fresh = self.folder.is_new
        if fresh:
            self.folder.make()
        self._run()
        self._wait_until_ready()
        self._make_role_and_database()

    def _wait_for_earlier(self) -> None:
        """One whose `db serve` was killed is about to end."""
        deadline = time.monotonic() + EARLIER_SECONDS
        while (pid := self._earlier()) is not None:
            if time.monotonic() > deadline:
                raise StorageError(
                    f"--data {self.folder.folder}: a server already runs on it (process {pid})"
                )
            time.sleep(LOOK_SECONDS)

    def _earlier(self) -> int | None:
        """Process id of a server that runs on the data."""
        try:
            pid = int((self.folder.data / "postmaster.pid").read_text().split("\n", 1)[0])
            os.kill(pid, 0)
            if linux.LINUX and Path(f"/proc/{pid}/comm").read_text().strip() != "postgres":
                return None  # the id is another program's now
        except (OSError, ValueError):
            return None  # none, or one that is dead: PostgreSQL itself sees to its file
        return pid

    def _look_at_port(self) -> None:
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("" if self.host == "*" else self.host, self.port))
            except OSError as error:
                raise StorageError(
                    f"--host {self.host} --port {self.port}: {error.strerror or error}; an "
                    f"address of this machine and a free port are accepted"
                ) from error

    def _run(self) -> None:
        programs, folder = self.folder.programs, self.folder
        options = ("-D", folder.data, "-h", self.host, "-p", str(self.port), "-k", "")
        try:
            with open(folder.log, "ab", opener=private) as log:
                self._process = subprocess.Popen(
                    programs.command("postgres", *options),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    cwd="/",
                    start_new_session=True,  # Ctrl-C reaches this process, which then ends it
                    user=programs.owner and programs.owner[0],
                    group=programs.owner and programs.owner[1],
                    extra_groups=[] if programs.owner else None,
                    preexec_fn=partial(linux.die_with, os.getpid(), signal.SIGINT),
                )
        except PermissionError as error:
            raise programs.not_allowed("postgres") from error

    def _wait_until_ready(self) -> None:
        assert self._process is not None
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                lines = self.folder.log.read_text(encoding="utf-8", errors="replace").splitlines()
                said = lines[-1] if lines else "it said nothing"
                raise StorageError(f"the server does not start ({self.folder.log}): {said}")
            time.sleep(LOOK_SECONDS)

    def _answers(self) -> bool:
        try:
            self.folder.programs.run("pg_isready", "-h", self._near, "-p", str(self.port))
        except StorageError:
            return False
        return True

    def _make_role_and_database(self) -> None:
        """What an earlier start that was killed left out is made as well."""
        password = self.folder.role_password()
        self._psql(
            f"SELECT 'CREATE ROLE {ROLE} LOGIN'"
            f" WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{ROLE}') \\gexec\n"
            f"ALTER ROLE {ROLE} PASSWORD :'password';\n"
            f"SELECT 'CREATE DATABASE {ROLE} OWNER {ROLE}'"
            f" WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = '{ROLE}') \\gexec\n",
            password,
        )

    def _psql(self, script: str, password: str) -> None:
        """Run a script as the superuser; the password goes by stdin, which nobody else reads."""
        where = ("-h", self._near, "-p", str(self.port), "-U", SUPERUSER, "-d", SUPERUSER)
        superuser = self.folder.superuser_file.read_text(encoding="utf-8").strip()
        self.folder.programs.run(
            "psql",
            *("-X", "-q", "-v", "ON_ERROR_STOP=1", *where),
            env={"PGPASSWORD": superuser.rpartition(":")[2]},
            text=f"\\set password '{password}'\n{script}",
        )

    def wait(self) -> int:
        """Until it ends, which SIGINT and SIGTERM to this process make it do; its exit code."""
        process = self._process
        assert process is not None

        def end(number: int, frame: FrameType | None) -> None:
            process.send_signal(signal.SIGINT)  # ends sessions and then the server, in order

        before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            return process.wait()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def stop(self) -> None:
        """End it in order, if it runs: sessions are ended, not waited for."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait()
