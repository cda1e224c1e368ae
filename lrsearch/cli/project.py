"""Commands on projects: what limits their studies, and who changed what."""

from typing import TYPE_CHECKING

import click

from lrsearch.cli.listing import Group
from lrsearch.cli.options import (
    common,
    json_option,
    name_argument,
    open_database,
    open_stored_study,
    print_json,
    project_option,
)
from lrsearch.cli.output import say
from lrsearch.cli.reading import reading

if TYPE_CHECKING:
    from lrsearch.storage.location import Location


@click.group(cls=Group)
def project() -> None:
    """Limit what a project trains, and see who changed what.

    The name of a study begins with its project: vision/digits belongs to project vision. A study
    of no other project belongs to project default.

    \b
    Example:
      lrsearch project limit vision --device-hours 100
    """


@project.command()
@click.argument("project", metavar="PROJECT")
@click.option(
    "--device-hours",
    metavar="HOURS|none",
    required=True,
    help="The most hours that its studies may train in all, summed over devices; none: no limit.",
)
@common
def limit(project: str, device_hours: str, storage: str | None) -> None:
    """Limit the hours that the studies of a project may train.

    When the hours are used, no trial starts any more; those that run go to their end. The hours
    used, those of deleted studies included, are shown by `lrsearch status`.

    \b
    Example:
      lrsearch project limit vision --device-hours 100
    """
    from lrsearch.study.limits import limit_project

    hours = _hours(device_hours)
    limit_project(open_database(storage), project, hours)
    amount = "without limit" if hours is None else f"at most {hours:g} device-hours"
    say(f"project {project} may train {amount}")


def _hours(text: str) -> float | None:
    if text == "none":
        return None
    try:
        hours = float(text)
    except ValueError:
        hours = -1.0
    if not 0 <= hours < float("inf"):
        raise click.UsageError(f"--device-hours {text}: give hours from 0 on, or none")
    return hours


@project.command()
@project_option("Show what was done in this project alone.")
@click.option(
    "--last",
    type=click.IntRange(1),
    default=20,
    show_default=True,
    metavar="N",
    help="How many to show.",
)
@json_option
@reading
def actions(project: str | None, last: int, as_json: bool, storage: "Location") -> None:
    """Show who created, changed or deleted studies, the newest first.

    The name is that of the user on that machine, or LRSEARCH_USER where that is set. It is not
    checked.

    \b
    Example:
      lrsearch project actions --project vision
    """
    from dataclasses import asdict
    from datetime import UTC, datetime

    from lrsearch.storage import actions as storage_actions

    database = open_database(storage, quiet=as_json)
    with database.read() as connection:
        found = storage_actions.newest(connection, project=project, limit=last)
    if as_json:
        print_json([asdict(row) for row in found])
        return
    for row in found:
        time = datetime.fromtimestamp(row.at, UTC).isoformat(timespec="seconds")
        what = f"project {row.project}" if row.study is None else f"study {row.study}"
        say(f"{time}  {row.who} on {row.host}  {what}  {row.what}")


@click.command(name="limit")
@name_argument
@click.option(
    "--priority",
    type=int,
    metavar="N",
    help="The study with the highest is trained first; default 0.",
)
@click.option(
    "--max-workers",
    type=click.IntRange(0),
    metavar="N",
    help="The most workers that train it at once; 0: no limit.",
)
@common
def limit_study(
    name: str, priority: int | None, max_workers: int | None, storage: str | None
) -> None:
    """Set the priority of a study and how many workers train it at once.

    A worker of a project (`lrsearch worker --project`) trains the study of the highest priority
    first. Workers beyond the limit wait; those of a project train other studies meanwhile.

    \b
    Example:
      lrsearch study limit vision/digits --priority 5 --max-workers 4
    """
    from lrsearch.study import limits

    if priority is None and max_workers is None:
        raise click.UsageError("give --priority, --max-workers or both")
    study = open_stored_study(storage, name)
    limits.limit_study(study, limits.Limits(priority=priority, max_workers=max_workers))
    say(f"study {name} is changed; `lrsearch status` shows its priority and workers")


COMMANDS = (project,)
