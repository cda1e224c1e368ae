"""Commands on the database's schema."""

from collections.abc import Callable
from pathlib import Path

import click

from lrsearch.cli.listing import Group
from lrsearch.cli.options import Command, announce, common, json_option, print_json
from lrsearch.cli.output import say
from lrsearch.version import __version__


@click.group(cls=Group)
def db() -> None:
    """Make, upgrade and check the tables of a database.

    \b
    Example:
      lrsearch db init
    """


@db.command()
@common
def init(storage: str | None) -> None:
    """Make the tables of a new database.

    Many processes may do so at the same time; one of them makes the tables.

    \b
    Example:
      lrsearch db init --storage postgresql://lrsearch@localhost/lrsearch
    """
    _prepare(storage)


@db.command()
@common
def upgrade(storage: str | None) -> None:
    """Bring the tables of an older version to this version.

    The studies stay.

    \b
    Example:
      lrsearch db upgrade
    """
    _prepare(storage)


def _prepare(storage: str | None) -> None:
    from lrsearch.storage.database import Database
    from lrsearch.storage.location import locate
    from lrsearch.storage.schema import HEAD
    from lrsearch.study.prepare_database import prepare

    database = Database(locate(storage))
    announce(database)
    done = prepare(database)
    say(f"schema {HEAD}: {'made' if done else 'up to date'}")


@db.command()
@json_option
@common
def check(as_json: bool, storage: str | None) -> None:
    """Check that the database answers and its tables are up to date.

    \b
    Example:
      lrsearch db check
    """
    from lrsearch.storage.schema import HEAD
    from lrsearch.study.prepare_database import open_database

    database = open_database(storage)
    if as_json:
        print_json({"storage": str(database.location), "schema": HEAD, "ok": True})
        return
    announce(database)
    say(f"schema {HEAD}: up to date")


programs_option = click.option(
    "--bin",
    "programs",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    metavar="DIR",
    help="Folder of PostgreSQL's programs; default those of `pip install 'lrsearch[serve]'`, "
    "else those on PATH.",
)


@db.command()
@click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    metavar="DIR",
    help="Folder of the server's data; a new one is made.",
)
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    metavar="HOST",
    help="Address to listen on; 0.0.0.0 answers other machines too.",
)
@click.option(
    "--port",
    type=click.IntRange(1, 65535),
    default=5432,
    show_default=True,
    metavar="PORT",
    help="Port to listen on.",
)
@click.option(
    "--user",
    metavar="NAME",
    help="User that the server runs as, for root, who may not run it; default postgres.",
)
@programs_option
def serve(data: Path, host: str, port: int, user: str | None, programs: Path | None) -> None:
    """Run a PostgreSQL server for workers on this machine and on others.

    It needs no administrator and no installed PostgreSQL: `pip install 'lrsearch[serve]'` brings
    the programs. The first start makes the data folder, a role and its password file. Ctrl-C or
    SIGTERM ends the server; the same command starts it again with all studies. Workers wait
    meanwhile.

    \b
    Example:
      lrsearch db serve --data postgres --host 0.0.0.0
    """
    from lrsearch.database_server.data_folder import DataFolder, server_owner
    from lrsearch.database_server.programs import find_programs
    from lrsearch.database_server.server import Server

    folder = DataFolder(data, find_programs(programs, owner=server_owner(user)))
    server = Server(folder, host=host, port=port)
    server.start()
    try:
        say(f"storage: {server.url}")
        say(f"password file: {folder.password_file}")
        say("On this machine; on others copy the password file, with mode 0600:")
        say(f"  export LRSEARCH_STORAGE={server.url} PGPASSFILE={folder.password_file}")
        code = server.wait()
    finally:
        server.stop()
    if code:
        from lrsearch.errors import StorageError

        raise StorageError(f"the server ended with exit code {code}; its log is {folder.log}")


@db.command()
@click.argument("file", type=click.Path(path_type=Path), metavar="FILE")
@programs_option
@common
def backup(file: Path, programs: Path | None, storage: str | None) -> None:
    """Write the whole database into a new file, as of one moment.

    Workers may go on meanwhile. Checkpoints are files beside the database: copy their folder too,
    so that trials need not start anew.

    \b
    Example:
      lrsearch db backup monday.backup
    """
    from lrsearch.database_server.backup import back_up
    from lrsearch.study.prepare_database import open_database

    database = open_database(storage)
    announce(database)
    back_up(database, file, programs=programs)
    say(f"{file}: {file.stat().st_size / 1e6:.1f} MB")


@db.command()
@click.argument("file", type=click.Path(path_type=Path), metavar="FILE")
@programs_option
@common
def restore(file: Path, programs: Path | None, storage: str | None) -> None:
    """Put a backup into an empty database, here or on another server.

    Trials that were being trained at the time of the backup go on from their last checkpoint when
    workers start.

    \b
    Example:
      lrsearch db restore monday.backup --storage postgresql://lrsearch@otherhost/lrsearch
    """
    from lrsearch.database_server.backup import restore as restore_database
    from lrsearch.storage.database import Database
    from lrsearch.storage.location import locate
    from lrsearch.study.prepare_database import open_database

    database = Database(locate(storage))
    announce(database)
    restore_database(database, file, programs=programs)
    open_database(storage)  # says whether it has to be upgraded
    say("restored; `lrsearch study list` shows its studies")


def _role(name: str, does: str) -> Callable[[Command], Command]:
    role = f"lrsearch_{name}"
    return click.option(f"--{name}", default=role, show_default=True, metavar="ROLE", help=does)


@db.command()
@_role("admin", "Owns the tables, creates and deletes studies.")
@_role("worker", "Works on studies; deletes nothing, makes no tables.")
@_role("reader", "Reads: reports, lists, exports.")
def grants(admin: str, worker: str, reader: str) -> None:
    """Print the SQL that gives three PostgreSQL roles their rights.

    The command executes none of it.

    \b
    Example:
      lrsearch db grants --worker gpu_worker
    """
    from lrsearch.study.prepare_database import grant_statements

    statements = grant_statements(admin, worker, reader)
    say(
        f"-- lrsearch {__version__}: run as a superuser in the database after `lrsearch db init`, "
        f"and again after `lrsearch db upgrade`.\n"
        f"-- The roles must exist: CREATE ROLE {worker} LOGIN; and so on, with \\password."
    )
    for statement in ("BEGIN", *statements, "COMMIT"):
        say(f"{statement};")


COMMANDS = (db,)


@db.command()
@click.option(
    "--attempts",
    is_flag=True,
    help="Also remove validations of ended trials that a later attempt has made again.",
)
@click.option("--dry-run", is_flag=True, help="Only count the rows.")
@json_option
@common
def gc(attempts: bool, dry_run: bool, as_json: bool, storage: str | None) -> None:
    """Remove rows that are no longer read.

    They belong to trials that have ended: leases, and records of checkpoints whose files are gone.
    Workers may go on meanwhile.

    \b
    Example:
      lrsearch db gc --dry-run
    """
    from lrsearch.storage import garbage
    from lrsearch.storage.postgresql import unhurried
    from lrsearch.study.prepare_database import open_database

    database = open_database(storage)
    look = garbage.count if dry_run else garbage.remove
    with database.begin() as connection, unhurried(connection):
        found = look(connection, attempts=attempts)
    if as_json:
        print_json({**vars(found), "removed": not dry_run})
        return
    announce(database)
    say(
        f"{'would remove' if dry_run else 'removed'} {found.leases} leases, {found.checkpoints} "
        f"records of checkpoints, {found.attempts} validations of earlier attempts"
    )
