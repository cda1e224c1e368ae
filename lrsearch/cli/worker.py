"""Commands that work on a study, and show who does: worker, confirm, status."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lrsearch.cli import options
from lrsearch.cli.options import (
    common,
    json_option,
    name_argument,
    open_named_study,
    open_stored_study,
    print_json,
    study_names,
)
from lrsearch.cli.output import say
from lrsearch.cli.renamed import earlier_name, renamed_option

if TYPE_CHECKING:
    from lrsearch.worker.resources import Resources


@click.command()
@name_argument
@options.device_option
@options.fuse_option
@options.task_dir_option
@click.option(
    "--threads", type=int, default=1, show_default=True, metavar="N", help="CPU threads of torch."
)
@options.time_limit_option
@click.option(
    "--unfinished-code",
    type=click.IntRange(0, 255),
    default=0,
    show_default=True,
    metavar="CODE",
    help="Exit code where it leaves before the study is finished: a scheduler starts another.",
)
@common
def worker(
    name: str,
    device: str,
    fuse: str,
    task_dir: Path | None,
    threads: int,
    time_limit: str | None,
    unfinished_code: int,
    storage: str | None,
) -> None:
    """Train trials of a study until its budget is used.

    One worker is one process on one device. Any number of workers, on any machines that reach the
    database, share a study. A worker holds a trial by a lease, which it renews; the trial of a
    worker that died goes on at another one when the lease ends.

    With a time limit it asks for no trial that could not be saved before it. Shortly before the
    limit it saves what it trains, gives it back, and ends with exit code 0.

    \b
    Example:
      lrsearch worker digits --task-dir studies --fuse 8
    """
    from lrsearch.fusing import fuse_option
    from lrsearch.worker.time_limit import TimeLimit, seconds_left

    limit = TimeLimit(seconds_left(options.parse_time_limit(time_limit)))
    engine = fuse_option.parse(fuse)
    options.say_loading()
    from lrsearch.study.status import is_known_finished
    from lrsearch.worker import processes

    study = open_named_study(storage, name)
    processes.work(
        study, device=device, task_dir=task_dir, threads=threads, fuse=engine, limit=limit
    )
    if unfinished_code and not is_known_finished(study):
        click.get_current_context().exit(unfinished_code)


def be_a_worker(words: Sequence[str]) -> None:
    """Be `lrsearch WORDS` in a fork of a process that has imported what a worker needs."""
    from lrsearch.cli.main import main

    sys.argv = ["lrsearch", *words]
    main()


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
@options.resources_options
@options.task_dir_option
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
@click.argument("name", metavar="NAME", required=False, shell_complete=study_names)
@click.option("--all", "everyone", is_flag=True, help="Show the workers that have ended as well.")
@json_option
@common
def status(name: str | None, everyone: bool, as_json: bool, storage: str | None) -> None:
    """Show all studies of the database, or the workers of one.

    Without NAME a line says of each study its state, its trials, what runs now, how many workers
    were seen a moment ago, and its age. With NAME a line says where a worker runs, its trial or
    run, and when it last reported.

    \b
    Example:
      lrsearch status digits
    """
    if name is None:
        _say_database(storage, as_json=as_json)
        return
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


def _say_database(storage: str | None, *, as_json: bool) -> None:
    from lrsearch.report.database_status import database_status
    from lrsearch.report.text.format import duration
    from lrsearch.study.prepare_database import open_database

    database = open_database(storage)
    options.announce(database, quiet=as_json)
    found = database_status(database)
    if as_json:
        print_json([one.to_dict() for one in found])
        return
    for one in found:
        of = "" if one.trials_total is None else f" of {one.trials_total}"
        trials = f"{one.trials_ended} trials ended, {one.trials_used}{of} started"
        doing = f"{one.running + one.open_runs} in training, {one.workers} workers"
        say(f"{one.study}  {one.state}  {trials}; {doing}; {duration(one.age_seconds)} old")
    if not found:
        say("no studies")


def _line(row: dict[str, Any]) -> str:
    doing = row["doing"] or "looks for work"
    state = doing if row["state"] == "working" else row["state"]
    where = f"{row['host']}  pid {row['pid']}  {row['device']}"
    return f"{where}  {state}  seen {row['seen_seconds_ago']:.0f} s ago"


workers = earlier_name(status, "workers", old="lrsearch workers", new="lrsearch status")

COMMANDS = (worker, confirm, status, workers)
