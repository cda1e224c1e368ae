"""The command that starts a fleet of workers, and ends it."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lrsearch.cli import machine_options, options
from lrsearch.cli.options import common, json_option, name_argument, print_json
from lrsearch.cli.output import say

if TYPE_CHECKING:
    from lrsearch.launch.fleet import Fleet
    from lrsearch.launch.target import Member


@dataclass(frozen=True, kw_only=True)
class Asked:
    """The options that say what is to be started, as they were typed."""

    workers: int | None
    device: str
    fuse: str
    compile: str
    task_dir: Path | None
    time_limit: str | None
    settings: Sequence[str]


workers_option = click.option(
    "--workers", type=click.IntRange(min=1), metavar="N", help="How many to start."
)
settings_option = click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="KEY=VALUE",
    help="A setting of the place, such as partition=gpu; it may be given several times.",
)


def asked_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of `Asked`, which become one argument, `asked`."""

    @functools.wraps(command)
    def parsed(*arguments: Any, **given: Any) -> Any:
        asked = Asked(**{field.name: given.pop(field.name) for field in fields(Asked)})
        return command(*arguments, asked=asked, **given)

    shared = machine_options.task_dir_option(
        machine_options.time_limit_option(settings_option(parsed))
    )
    trained = machine_options.fuse_option(machine_options.compile_option(shared))
    return workers_option(machine_options.device_option(trained))


@click.command()
@name_argument
@click.option(
    "--on",
    "place",
    required=True,
    metavar="PLACE",
    help="local (processes of this machine), slurm, ray or kubernetes.",
)
@asked_options
@click.option("--dry-run", is_flag=True, help="Print what would be started, and start nothing.")
@click.option("--apply", is_flag=True, help="On kubernetes: give the manifest to kubectl.")
@click.option(
    "--stop",
    is_flag=True,
    help="End the workers that were started; each writes a checkpoint first.",
)
@click.option(
    "--ray-address",
    metavar="HOST:PORT",
    help="On ray: the cluster, with --stop too; default RAY_ADDRESS, else that of this machine.",
)
@json_option
@common
def launch(
    name: str,
    place: str,
    asked: Asked,
    dry_run: bool,
    apply: bool,
    stop: bool,
    ray_address: str | None,
    as_json: bool,
    storage: str | None,
) -> None:
    """Start workers of a study as a fleet.

    The workers go on when the command has ended; one that leaves at its time limit is followed by
    another until the study is finished. On Slurm they are one array job, which is queued
    again at its time limit (default 24 h). On Ray each is an actor, which is made anew when its
    node is lost. On Kubernetes they are a Job, whose manifest is printed, or with --apply given to
    kubectl. On all three they get a copy of the study's code as it is now.

    \b
    Example:
      lrsearch launch digits --on local --workers 4
    """
    from lrsearch.errors import SpecError
    from lrsearch.launch.targets import target

    chosen = target(place, ray_address=ray_address)
    if apply and place != "kubernetes":
        raise SpecError(
            f"--apply is for --on kubernetes; workers on {place} start without it; leave it out"
        )
    if stop:
        _say_members(place, chosen.stop(name), as_json=as_json, verb="ended")
        return
    fleet = _fleet(storage, name, asked)
    if dry_run or (place == "kubernetes" and not apply):
        say(chosen.plan(fleet))
        return
    _say_members(place, chosen.start(fleet), as_json=as_json, verb="started")


def _fleet(storage: str | None, name: str, asked: Asked) -> "Fleet":
    from lrsearch.errors import SpecError
    from lrsearch.fusing import compiling, fuse_option
    from lrsearch.launch.fleet import Fleet
    from lrsearch.launch.snapshot import snapshot
    from lrsearch.spec.shipped_studies import folders

    if asked.workers is None:
        raise SpecError("--workers N is needed: give the number of workers to start, from 1")
    seconds = machine_options.parse_time_limit(asked.time_limit)
    settings = dict(map(_setting, asked.settings))
    study = options.open_stored_study(storage, name, quiet=True)  # stdout is the plan's, or JSON's
    return Fleet(
        study=study.name,
        workers=asked.workers,
        location=study.database.location,
        code=snapshot(study, folders(asked.task_dir)),
        device=asked.device,
        fuse=fuse_option.parse(asked.fuse),
        compile=compiling.parse(asked.compile),
        devices_per_trial=study.spec.devices_per_trial,
        time_limit=seconds,
        settings=settings,
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
