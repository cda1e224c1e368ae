"""Commands that work on a study, and show who does: worker, confirm, status."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lrsearch.cli import machine_options, options
from lrsearch.cli.options import (
    common,
    json_option,
    name_argument,
    open_named_study,
    open_stored_study,
    print_json,
)
from lrsearch.cli.output import say
from lrsearch.cli.reading import reading
from lrsearch.cli.renamed import earlier_name, renamed_option

if TYPE_CHECKING:
    from lrsearch.storage.location import Location
    from lrsearch.worker.machine import Machine
    from lrsearch.worker.resources import Resources
    from lrsearch.worker.time_limit import TimeLimit


@click.command()
@options.optional_name_argument
@options.project_option("Train all studies of this project, in place of NAME.")
@click.option("--forever", is_flag=True, help="With --project: then wait for further studies.")
@machine_options.machine_options
@machine_options.time_limit_option
@click.option(
    "--unfinished-code",
    type=click.IntRange(0, 255),
    default=0,
    show_default=True,
    metavar="CODE",
    help="Exit code where it leaves before the study is finished, so that a scheduler can start "
    "another worker.",
)
@common
def worker(
    name: str | None,
    project: str | None,
    forever: bool,
    machine: "Machine",
    time_limit: str | None,
    unfinished_code: int,
    storage: str | None,
) -> None:
    """Train trials of a study until its budget is used.

    One worker is one process on one device. Any number of workers, on any machines that reach the
    database, share a study. A worker holds a trial by a lease, which it renews; the trial of a
    worker that died goes on at another one when the lease ends.

    With --project it trains all studies of a project: the highest priority first, then the oldest.
    It changes to another study only between two trials.

    With a time limit it begins no trial that could neither be saved nor end before the limit.
    Shortly before the limit it writes a checkpoint, gives its trial back, and ends with exit code
    0, or that of --unfinished-code.

    \b
    Example:
      lrsearch worker digits --task-dir studies --fuse 8
    """
    options.need_one("NAME or --project", name, project)
    if forever and project is None:
        raise click.UsageError("--forever is for --project; give --project, or leave --forever out")
    from lrsearch.worker.time_limit import TimeLimit, seconds_left

    limit = TimeLimit(seconds_left(machine_options.parse_time_limit(time_limit)))
    options.say_loading()
    if project is not None:
        done = _serve_project(storage, project, machine, limit, forever=forever)
    else:
        done = _train_study(storage, str(name), machine, limit)
    if unfinished_code and not done:
        click.get_current_context().exit(unfinished_code)


def _train_study(storage: str | None, name: str, machine: "Machine", limit: "TimeLimit") -> bool:
    """Whether the study is finished."""
    from lrsearch.study.status import is_known_finished
    from lrsearch.worker.worker_process import own_stop, work

    study = open_named_study(storage, name)
    work(study, machine, stop=own_stop(limit))
    return is_known_finished(study)


def _serve_project(
    storage: str | None, project: str, machine: "Machine", limit: "TimeLimit", *, forever: bool
) -> bool:
    """Whether all studies of the project are finished."""
    from lrsearch.worker.project import work_on_project
    from lrsearch.worker.worker_process import own_stop

    database = options.open_database(storage)
    return work_on_project(database, project, machine, own_stop(limit), forever=forever)


def be_a_worker(words: Sequence[str]) -> int:
    """Be `lrsearch WORDS` in a fork of a process that has imported what a worker needs."""
    from lrsearch.cli.main import exit_code

    sys.argv = ["lrsearch", *words]
    return exit_code()


@click.command()
@name_argument
@renamed_option(
    "--candidates",
    "--top",
    type=int,
    metavar="N",
    help="Most recipes that are trained again; the default follows from the runs.",
)
@click.option(
    "--runs",
    type=int,
    metavar="N",
    help="Full trainings in all. Default, and most: what the budget keeps for confirmation.",
)
@machine_options.resources_options
@machine_options.task_dir_option
@json_option
@common
def confirm(
    name: str,
    candidates: int | None,
    runs: int | None,
    resources: "Resources",
    task_dir: Path | None,
    as_json: bool,
    storage: str | None,
) -> None:
    """Train the best recipes again with fresh seeds.

    The command prints the winner's mean with its 95 % confidence interval. Recipes are tied when
    their seeds do not tell them apart.

    \b
    Example:
      lrsearch confirm digits --candidates 3 --runs 15
    """
    options.at_least_one({"--candidates": candidates, "--runs": runs})
    options.say_loading()
    from lrsearch import run_study
    from lrsearch.report.documents import confirmed_documents
    from lrsearch.report.text import answer

    study = open_named_study(storage, name, quiet=as_json)
    report = run_study.confirm(
        study,
        resources,
        candidates=candidates,
        runs=runs,
        task_dir=task_dir,
        progress=run_study.ProgressBar(),
    )
    if as_json:
        print_json(confirmed_documents(report))
    else:
        say(answer.recipe_text(report, verbose=options.is_verbose()))


@click.command()
@options.optional_name_argument
@click.option(
    "--all", "everyone", is_flag=True, help="With NAME: also show workers that have ended."
)
@options.project_option("Without NAME: show the studies of this project alone.")
@json_option
@reading
def status(
    name: str | None, everyone: bool, project: str | None, as_json: bool, storage: "Location"
) -> None:
    """Show the workers of a study, or without NAME all studies.

    With NAME a line says where a worker runs, its trial or run, and when it last reported. Without
    NAME a table shows all studies of the database, and another one the device-hours of each
    project: hours of training, summed over devices.

    \b
    Example:
      lrsearch status digits
    """
    if name is None:
        _print_studies(storage, project, as_json=as_json)
        return
    if project is not None:
        raise click.UsageError("--project is for the table of all studies; leave NAME out")
    from lrsearch.report.workers import last_notes, worker_rows

    study = open_stored_study(storage, name, quiet=as_json)
    rows = worker_rows(study, everyone=everyone)
    if as_json:
        print_json(rows)
        return
    for row in rows:
        say(_line(row))
    if not rows:
        say(f"nobody works on {name}; start workers with\n  lrsearch worker {name}")
    for note in last_notes(study):
        say(f"  {note}")


def _print_studies(storage: "Location", project: str | None, *, as_json: bool) -> None:
    from dataclasses import asdict

    from lrsearch.report.all_studies import status_of, status_text

    found = status_of(options.open_database(storage, quiet=as_json), project=project)
    if as_json:
        print_json(asdict(found))
    elif found.studies:
        say(status_text(found))
    else:
        say("there are no studies" if project is None else f"project {project} has no studies")


def _line(row: dict[str, Any]) -> str:
    doing = row["doing"] or "looks for work"
    state = doing if row["state"] == "working" else row["state"]
    where = f"{row['host']}  pid {row['pid']}  {row['device']}"
    return f"{where}  {state}  seen {row['seen_seconds_ago']:.0f} s ago"


workers = earlier_name(status, "workers", old="lrsearch workers", new="lrsearch status")

COMMANDS = (worker, confirm, status, workers)
