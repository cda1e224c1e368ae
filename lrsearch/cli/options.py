"""Options and output that commands share."""

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from lrsearch.storage.database import Database
    from lrsearch.study.open_study import OpenStudy

Command = TypeVar("Command", bound=Callable[..., Any])


def _configure(verbose: int, log_file: Path | None) -> None:
    log = logging.getLogger("lrsearch")
    log.setLevel({0: logging.WARNING, 1: logging.INFO}.get(verbose, logging.DEBUG))
    log.handlers.clear()
    log.addHandler(logging.StreamHandler())
    if log_file is None:
        return
    from lrsearch.errors import SpecError

    try:
        handler = logging.FileHandler(log_file)
    except OSError as error:
        raise SpecError(f"--log-file {log_file}: {error.strerror}") from error
    log.setLevel(min(log.level, logging.INFO))
    log.handlers[0].setLevel(logging.WARNING if verbose == 0 else logging.DEBUG)
    handler.setFormatter(logging.Formatter("%(asctime)s %(process)d %(levelname)s %(message)s"))
    log.addHandler(handler)


def _on_verbose(context: click.Context, parameter: click.Parameter, value: int) -> int:
    context.meta["verbose"] = value
    _configure(value, context.meta.get("log_file"))
    return value


def _on_log_file(
    context: click.Context, parameter: click.Parameter, value: Path | None
) -> Path | None:
    context.meta["log_file"] = value
    _configure(context.meta.get("verbose", 0), value)
    return value


def common(command: Command) -> Command:
    """`--storage`, `-v` and `--log-file`."""
    storage = click.option(
        "--storage",
        metavar="URL",
        help="sqlite:///FILE or postgresql://USER@HOST/DATABASE; else LRSEARCH_STORAGE, "
        "lrsearch.toml, or ./lrsearch.db.",
    )
    verbose = click.option(
        "-v",
        "--verbose",
        count=True,
        expose_value=False,
        callback=_on_verbose,
        help="Log more on stderr.",
    )
    log_file = click.option(
        "--log-file",
        type=click.Path(dir_okay=False, path_type=Path),
        expose_value=False,
        callback=_on_log_file,
        help="Log to this file as well.",
    )
    return storage(verbose(log_file(command)))


json_option = click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
fuse_option = click.option(
    "--fuse",
    default="auto",
    show_default=True,
    metavar="auto|off|K",
    help="Trials trained at once as one program: K, one by one, or what is measured to be quicker.",
)
file_argument = click.argument("file", metavar="FILE", type=click.Path(path_type=Path))
name_argument = click.argument("name", metavar="NAME")


def print_json(value: Any) -> None:
    click.echo(json.dumps(value, indent=2, allow_nan=False))


def open_named_study(storage: str | None, name: str, *, quiet: bool = False) -> "OpenStudy":
    """The study in the database that the options name; says which database on the first line."""
    from lrsearch.study.open_study import OpenStudy
    from lrsearch.study.prepare_database import open_database

    database = open_database(storage)
    announce(database, quiet=quiet)
    return OpenStudy.open(database, name)


def announce(database: "Database", *, quiet: bool = False) -> None:
    if not quiet:
        click.echo(f"storage: {database.location}")
