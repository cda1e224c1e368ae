"""Commands on the database's schema."""

from collections.abc import Callable

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
    from lrsearch.storage.database import Database, locate
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
