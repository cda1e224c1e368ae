"""The command that starts a fleet of workers, and ends it."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lrsearch.cli import options
from lrsearch.cli.options import common, json_option, name_argument, print_json
from lrsearch.cli.output import say

if TYPE_CHECKING:
    from lrsearch.launch.fleet import Fleet
    from lrsearch.launch.target import Member


@click.command()
@name_argument
@click.option(
    "--on",
    "place",
    required=True,
    metavar="PLACE",
    help="local (processes of this machine), slurm, ray or kubernetes.",
)
@click.option("--workers", type=click.IntRange(min=1), metavar="N", help="How many to start.")
@options.device_option
@options.fuse_option
@options.task_dir_option
@options.time_limit_option
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="KEY=VALUE",
    help="What the place takes besides, such as partition=gpu; may be given again.",
)
@click.option("--dry-run", is_flag=True, help="Print what would be started, and start nothing.")
@click.option("--apply", is_flag=True, help="On kubernetes: apply the manifest by kubectl.")
@click.option("--stop", is_flag=True, help="End the workers that were started, in order.")
@json_option
@common
def launch(
    name: str,
    place: str,
    workers: int | None,
    device: str,
    fuse: str,
    task_dir: Path | None,
    time_limit: str | None,
    settings: tuple[str, ...],
    dry_run: bool,
    apply: bool,
    stop: bool,
    as_json: bool,
    storage: str | None,
) -> None:
    """Start workers of a study as a fleet.

    The workers outlive the command. On Slurm they are one array job, which is queued again at its
    time limit; on Ray one actor each, which is made anew where a node is lost; on Kubernetes a Job,
    whose manifest is printed unless --apply is given. The study's code travels along as it is now.

    \b
    Example:
      lrsearch launch digits --on local --workers 4
    """
    from lrsearch.errors import SpecError
    from lrsearch.launch.targets import target

    chosen = target(place)
    if apply and place != "kubernetes":
        raise SpecError(f"--apply is of --on kubernetes; on {place} workers start without it")
    if stop:
        _say_members(place, chosen.stop(name), as_json=as_json, verb="ended")
        return
    if workers is None:
        raise SpecError("--workers N is needed: how many workers are to start")
    fleet = _fleet(storage, name, workers, device, fuse, task_dir, time_limit, settings, quiet=True)
    if dry_run or (place == "kubernetes" and not apply):
        say(chosen.plan(fleet))
        return
    _say_members(place, chosen.start(fleet), as_json=as_json, verb="started")


def _fleet(
    storage: str | None,
    name: str,
    workers: int,
    device: str,
    fuse: str,
    task_dir: Path | None,
    time_limit: str | None,
    settings: Sequence[str],
    *,
    quiet: bool,
) -> "Fleet":
    from lrsearch.fusing import fuse_option
    from lrsearch.launch.fleet import Fleet
    from lrsearch.launch.snapshot import snapshot
    from lrsearch.spec.shipped_studies import folders

    seconds = options.parse_time_limit(time_limit)
    engine = fuse_option.parse(fuse)
    pairs = dict(map(_setting, settings))
    study = options.open_stored_study(storage, name, quiet=quiet)
    return Fleet(
        study=study.name,
        workers=workers,
        location=study.database.location,
        code=snapshot(study, folders(task_dir)),
        device=device,
        fuse=engine,
        time_limit=seconds,
        settings=pairs,
    )


def _setting(text: str) -> tuple[str, str]:
    from lrsearch.errors import SpecError

    name, equals, value = text.partition("=")
    if not equals or not name:
        raise SpecError(f"--set {text}: KEY=VALUE is accepted, such as --set partition=gpu")
    return name, value


def _say_members(place: str, members: "Sequence[Member]", *, as_json: bool, verb: str) -> None:
    if as_json:
        print_json({"on": place, verb: [member.to_dict() for member in members]})
        return
    for member in members:
        say(f"{verb} {member.id}" + (f"  log: {member.log}" if member.log else ""))
    if not members:
        say(f"nothing was {verb} on {place}")


COMMANDS = (launch,)
