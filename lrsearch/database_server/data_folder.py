"""The folder of one server: PostgreSQL's data, the passwords, and who may connect.

Two roles are made, each with a random password: `postgres`, a superuser that only this machine may
use, and `lrsearch`, which owns the database `lrsearch` and is no superuser, since a superuser of a
PostgreSQL server can run programs on its machine.
"""

import os
import pwd
import secrets
from pathlib import Path

from lrsearch.database_server.programs import Programs
from lrsearch.errors import StorageError
from lrsearch.private_files import FOLDER, private

#: Name of the role that studies are kept with, and of its database.
ROLE = "lrsearch"
SUPERUSER = "postgres"
#: What an ordinary user needs to enter a folder that root made.
PASSABLE = 0o711
#: A worker holds one or two connections; PostgreSQL's own default is 100.
MAX_CONNECTIONS = 500
#: Bytes of randomness in a password.
PASSWORD_BYTES = 24

HOST_RULES = f"""\
# Written by `lrsearch db serve`. Passwords never pass in clear text (scram-sha-256).
# TYPE  DATABASE   USER         ADDRESS        METHOD
host    all        {SUPERUSER}     127.0.0.1/32   scram-sha-256
host    all        {SUPERUSER}     ::1/128        scram-sha-256
host    {ROLE}   {ROLE}     all            scram-sha-256
"""


class DataFolder:
    """A folder that `lrsearch db serve` made, or is about to make."""

    def __init__(self, folder: Path, programs: Programs) -> None:
        self.folder = folder.absolute()
        self.programs = programs
        #: PostgreSQL's own data directory.
        self.data = self.folder / "data"
        #: libpq's password file for the role `lrsearch`, on any machine.
        self.password_file = self.folder / "pgpass"
        self.superuser_file = self.folder / "superuser.pgpass"
        self.log = self.folder / "server.log"

    @property
    def is_new(self) -> bool:
        """Whether there is no server's data yet."""
        return not (self.data / "PG_VERSION").exists()

    def make(self) -> None:
        """Make the folder and the server's data, with random passwords.

        Raises StorageError if the folder holds something else, or cannot be made.
        """
        try:
            self._make_folder()
        except OSError as error:
            raise StorageError(f"--data {self.folder}: {error.strerror}") from error
        password = self._write_password(self.superuser_file, SUPERUSER)
        self._write_password(self.password_file, ROLE)
        secret = self.folder / "password"
        secret.unlink(missing_ok=True)  # of an attempt that was killed
        with open(secret, "w", opener=private) as file:
            file.write(password)
        self._give(secret)
        try:
            self.programs.run(
                "initdb",
                *("--auth=scram-sha-256", f"--pwfile={secret}", f"--username={SUPERUSER}"),
                *("--locale=C", "--encoding=UTF8", "-D", self.data),
            )
        finally:
            secret.unlink()
        (self.data / "pg_hba.conf").write_text(HOST_RULES, encoding="utf-8")
        with (self.data / "postgresql.conf").open("a", encoding="utf-8") as file:
            file.write(f"\nmax_connections = {MAX_CONNECTIONS}  # set by `lrsearch db serve`\n")

    def _make_folder(self) -> None:
        self.folder.mkdir(FOLDER, parents=True, exist_ok=True)
        own = {self.data.name, "password", "pgpass", "superuser.pgpass", self.log.name}
        if foreign := {path.name for path in self.folder.iterdir()} - own:
            raise StorageError(
                f"--data {self.folder} holds other files ({min(foreign)}); name a folder that is "
                f"empty, does not exist, or was made by `lrsearch db serve`"
            )
        self.data.mkdir(FOLDER, exist_ok=True)
        if self.programs.owner is not None:
            self.folder.chmod(PASSABLE)
        self._give(self.data)

    def _give(self, path: Path) -> None:
        if self.programs.owner is not None:
            os.chown(path, *self.programs.owner)

    def _write_password(self, file: Path, role: str) -> str:
        """Write a password file of libpq's form, host:port:database:user:password."""
        file.unlink(missing_ok=True)
        password = secrets.token_hex(PASSWORD_BYTES)
        database = ROLE if role == ROLE else "*"
        with open(file, "w", opener=private) as stream:
            stream.write(f"*:*:{database}:{role}:{password}\n")
        return password

    def role_password(self) -> str:
        """The password of the role `lrsearch`. Raises StorageError if its file is gone."""
        try:
            return self.password_file.read_text(encoding="utf-8").strip().rpartition(":")[2]
        except OSError as error:
            raise StorageError(f"{self.password_file}: {error.strerror}") from error


def server_owner(name: str | None) -> tuple[int, int] | None:
    """Which user a server runs as: None is the one who runs this process.

    PostgreSQL refuses to run as root; root runs it as the user `name`, by default `postgres`.
    Raises StorageError if that user does not exist, is root, or cannot be changed to.
    """
    if os.getuid() != 0:
        if name is not None:
            raise StorageError("--user is for root; the server runs as the user who starts it")
        return None
    wanted = name or SUPERUSER
    try:
        user = pwd.getpwnam(wanted)
    except KeyError as error:
        raise StorageError(
            f"PostgreSQL does not run as root, and there is no user {wanted!r}; name one with "
            f"--user, for example --user nobody, or start it as an ordinary user"
        ) from error
    if user.pw_uid == 0:
        raise StorageError("PostgreSQL does not run as root; name an ordinary user with --user")
    return user.pw_uid, user.pw_gid
