"""Options and output that commands share."""

import functools
import os
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, TypeVar

import click

from lrsearch.cli.logs import on_log_file, on_verbose
from lrsearch.cli.output import json_text, say
from lrsearch.cli.study_file import StudyFile, what_it_imports

if TYPE_CHECKING:
    from lrsearch.preflight.checked import Checked
    from lrsearch.storage.database import Database
    from lrsearch.storage.location import Location
    from lrsearch.storage.records import StudyRecord
    from lrsearch.study.open_study import OpenStudy
    from lrsearch.study.stored_study import StoredStudy
    from lrsearch.worker.forks import WorkerForks
    from lrsearch.worker.resources import Resources

Command = TypeVar("Command", bound=Callable[..., Any])


def common(command: Command) -> Command:
    """`--storage`, `-v` and `--log-file`."""
    storage = click.option(
        "--storage",
        metavar="URL",
        help="Database: sqlite:///FILE or postgresql://USER@HOST/DATABASE; default "
        "LRSEARCH_STORAGE, else lrsearch.toml, else ./lrsearch.db.",
    )
    verbose = click.option(
        "-v",
        "--verbose",
        count=True,
        expose_value=False,
        callback=on_verbose,
        help="Log what happens on stderr; -vv logs more.",
    )
    log_file = click.option(
        "--log-file",
        type=click.Path(dir_okay=False, path_type=Path),
        metavar="PATH",
        expose_value=False,
        callback=on_log_file,
        help="Append the log to this file, that of worker processes included.",
    )
    return storage(verbose(log_file(command)))


#: Where a command's JSON goes while its stdout takes what a task's code prints.
DOCUMENTS = "documents"
#: How far the replica is behind that a command reads.
REPLICA = "replica"


def _on_json(context: click.Context, parameter: click.Parameter, value: bool) -> bool:
    """With `--json`, whatever else is printed here or in workers goes to stderr."""
    if value and _is_of_process(sys.stdout, 1) and _is_of_process(sys.stderr, 2):
        sys.stdout.flush()
        own = os.dup(1)
        os.dup2(2, 1)
        context.meta[DOCUMENTS] = own
        context.call_on_close(functools.partial(_give_back, own))
    return value


def _give_back(own: int) -> None:
    """stdout as it was before `--json`."""
    sys.stdout.flush()
    os.dup2(own, 1)
    os.close(own)


def _is_of_process(stream: TextIO, number: int) -> bool:
    """Whether it writes to this file of the process, and not into the memory of a test."""
    try:
        return stream.fileno() == number
    except (OSError, ValueError):
        return False


json_option = click.option(
    "--json", "as_json", is_flag=True, callback=_on_json, help="Print one JSON document."
)
csv_option = click.option("--csv", "as_csv", is_flag=True, help="Print comma-separated rows.")
new_name_option = click.option(
    "--name", help="Name of the study in the database; default the name in the file."
)
report_option = click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Folder of the report; default ./NAME-report/.",
)
file_argument = click.argument("file", metavar="FILE", type=StudyFile())


def study_names(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """What the shells complete a NAME to."""
    from lrsearch.storage.study_names import names_in_file

    return names_in_file(context.params.get("storage"), incomplete)


name_argument = click.argument("name", metavar="NAME", shell_complete=study_names)
optional_name_argument = click.argument(
    "name", metavar="[NAME]", required=False, shell_complete=study_names
)
silent_verbose = click.option("-v", "--verbose", count=True, hidden=True, expose_value=False)


def project_option(text: str) -> Callable[[Command], Command]:
    """`--project` with its help."""
    return click.option("--project", metavar="PROJECT", help=text)


def need_one(what: str, *values: object) -> None:
    """Raises click.UsageError unless exactly one of the values is given."""
    if sum(value is not None for value in values) != 1:
        raise click.UsageError(f"give either {what}")


def print_json(value: Any) -> None:
    """Print one document; an object also has `replica` where a replica was read."""
    replica = click.get_current_context().meta.get(REPLICA)
    if replica is not None and isinstance(value, dict):
        value = {**value, "replica": replica}
    text = json_text(value, indent=2)
    own = click.get_current_context().meta.get(DOCUMENTS)
    if own is None:
        say(text)
        return
    with os.fdopen(os.dup(own), "w", encoding="utf-8") as documents:
        documents.write(f"{text}\n")


def is_verbose() -> bool:
    """Whether `-v` was given, which also prints more of an answer."""
    context = click.get_current_context(silent=True)  # none where Hydra runs the study
    return context is not None and bool(context.meta.get("verbose", 0))


def say_loading() -> None:
    """Tell people that PyTorch is being loaded, which takes seconds; once, and not if it is."""
    started_by_another = "LRSEARCH_PARENT" in os.environ
    if "torch" not in sys.modules and not started_by_another:
        say("loading PyTorch ...", err=True)


def checked_file(
    file: Path,
    *,
    name: str | None = None,
    totals: Mapping[str, int] | None = None,
    device: str = "auto",
    proves: bool = False,
    goes_on: bool = False,
    storage: str | None = None,
    forks: "WorkerForks | None" = None,
    meanwhile: Callable[[], None] = lambda: None,
) -> "Checked":
    """The study of a file, whose task has trained one batch, or whose script has reported.

    `name` and `totals`, of the budget by its fields, replace the file's own. `proves`: whether it
    is proved how a script goes on after an interruption. `goes_on`: the study may be in
    the database already; a script that has reported for it is then not run a second time. `forks`
    begins to import what its workers need, beside this process; in a fork of it a task is tried,
    and `meanwhile` called.

    What needs no PyTorch is checked before that is loaded.
    """
    from lrsearch.child_process.fork_server import NotForkedError
    from lrsearch.cli.check_in_fork import check_in_fork, may_be_tried
    from lrsearch.preflight import study_file
    from lrsearch.spec.shipped_studies import check_there

    check_there(file)
    spec = study_file.read_study_file(file, name=name, totals=totals)
    stored = _stored_record(storage, spec.name) if goes_on and spec.task is None else None
    say_loading()
    if forks is not None:
        forks.begin(spec, file.parent)
        if may_be_tried(spec) and _is_of_process(sys.stdout, 1) and _is_of_process(sys.stderr, 2):
            with suppress(NotForkedError):
                return check_in_fork(spec, file, device=device, forks=forks, meanwhile=meanwhile)
        forks.go_on()
    with what_it_imports(file):
        return study_file.check_spec(spec, file, device=device, proves=proves, stored=stored)


def trained_file(
    file: Path,
    *,
    name: str | None = None,
    totals: Mapping[str, int] | None = None,
    resources: "Resources | None" = None,
    storage: str | None,
    meanwhile: Callable[[], None] = lambda: None,
) -> "Checked":
    """As `checked_file`, for a study that will be trained: doubts about its task go to stderr.

    So does what a first run of a script has shown, and what the study lacks for it. `resources` are
    those it will be trained with here. `meanwhile` is as there.
    """
    checked = checked_file(
        file,
        name=name,
        totals=totals,
        device="auto" if resources is None else resources.device,
        goes_on=True,
        storage=storage,
        forks=None if resources is None else resources.forks,
        meanwhile=meanwhile,
    )
    for note in checked.notes if checked.spec.task is None else ():
        say(f"note: {note}", err=True)
    for warning in checked.warnings:
        say(f"warning: {warning}", err=True)
    return checked


def at_least_one(counts: Mapping[str, int | None]) -> None:
    """Raises SpecError for an option, by its name, that was given with less than 1."""
    from lrsearch.errors import SpecError

    for option, value in counts.items():
        if value is not None and value < 1:
            raise SpecError(f"{option} {value}: at least 1 is needed")


def open_stored_study(
    storage: "str | Location | None", name: str, *, quiet: bool = False
) -> "StoredStudy":
    """The study in the database that the options name; says which database on the first line."""
    from lrsearch.study.stored_study import StoredStudy

    return StoredStudy.open(open_database(storage, quiet=quiet), name)


def open_named_study(storage: str | None, name: str, *, quiet: bool = False) -> "OpenStudy":
    """As `open_stored_study`, but with Optuna, which loads for a second: it may ask for trials."""
    from lrsearch.study.open_study import OpenStudy

    return OpenStudy.open(open_database(storage, quiet=quiet), name)


def _stored_record(storage: str | None, name: str) -> "StudyRecord | None":
    """The study of this name; None where there is none, or no database yet."""
    from lrsearch.study.prepare_database import stored_study

    return stored_study(storage, name)


def open_database(storage: "str | Location | None", *, quiet: bool = False) -> "Database":
    """The database that the options name; says which on the first line."""
    from lrsearch.study import prepare_database

    database = prepare_database.open_database(storage)
    announce(database, quiet=quiet)
    return database


def announce(database: "Database", *, quiet: bool = False) -> None:
    """Say which database it is on stdout, and on stderr how far a copy to read from is behind."""
    if not quiet:
        say(f"storage: {database.location}")
    if database.location.reads_only:
        _say_replica(database)


def _say_replica(database: "Database") -> None:
    from lrsearch.report.text.replica import replica_text
    from lrsearch.storage.replica import replica_state

    with database.read() as connection:
        found = replica_state(connection)
    if found is not None:
        say(replica_text(found), err=True)
        click.get_current_context().meta[REPLICA] = found.to_dict()
