"""The command that shows a study while it runs: watch."""

import signal
import sys
from types import FrameType
from typing import TYPE_CHECKING

import click

from lrsearch.cli.options import name_argument, open_stored_study
from lrsearch.cli.output import json_text, say
from lrsearch.cli.reading import reading

if TYPE_CHECKING:
    from lrsearch.report.live.follow import Watcher
    from lrsearch.storage.location import Location

#: 128 + SIGINT, as shells report an interrupted command.
INTERRUPTED = 130
#: The shortest time between two looks, in seconds.
LEAST_SECONDS = 0.2


@click.command()
@name_argument
@click.option(
    "--plain", is_flag=True, help="One line for each event, as into a pipe; for screen readers too."
)
@click.option("--json", "as_json", is_flag=True, help="A line with a JSON object for each event.")
@click.option("--follow", is_flag=True, help="Go on when the study is finished, until Ctrl-C.")
@click.option(
    "--every",
    type=float,
    default=1.0,
    show_default=True,
    metavar="SECONDS",
    help="Time between two looks at the database.",
)
@reading
def watch(
    name: str, plain: bool, as_json: bool, follow: bool, every: float, storage: "Location"
) -> None:
    """Watch a study while it runs.

    On a terminal the command draws the workers, the trials that run with their curves, the best
    recipe so far, the budget, and what happened last. Into a pipe, with --plain, or where TERM is
    dumb it prints a line for each event. It only reads, and ends with the study; Ctrl-C leaves it
    and not the study.

    \b
    Example:
      lrsearch watch digits
    """
    from lrsearch.errors import SpecError
    from lrsearch.report.live.follow import Watcher
    from lrsearch.storage.outages import WINDOW_SECONDS, Patience

    if every < LEAST_SECONDS:
        raise SpecError(f"--every {every:g}: at least {LEAST_SECONDS:g} seconds are needed")
    database = open_stored_study(storage, name, quiet=as_json).database
    watcher = Watcher(database, name, patience=Patience(seconds=WINDOW_SECONDS))
    before = signal.signal(signal.SIGTERM, _leave)
    try:
        _show(watcher, plain=plain, as_json=as_json, to_the_end=not follow, seconds=every)
    except KeyboardInterrupt:
        say(f"study {name} goes on without being watched", err=True)
        raise click.exceptions.Exit(INTERRUPTED) from None
    finally:
        signal.signal(signal.SIGTERM, before)


def _leave(number: int, frame: FrameType | None) -> None:
    """SIGTERM as Ctrl-C: the terminal gets its cursor back."""
    raise KeyboardInterrupt


def _show(
    watcher: "Watcher", *, plain: bool, as_json: bool, to_the_end: bool, seconds: float
) -> None:
    from lrsearch.report.live.follow import follow

    looks = follow(watcher, seconds=seconds, to_the_end=to_the_end)
    if not (plain or as_json) and sys.stdout.isatty():
        from lrsearch.report.live import terminal

        if terminal.draw_all(looks):
            return
    for seen in looks:
        for event in seen.events:
            line = json_text(event.to_dict()) if as_json else event.line
            say(line)


COMMANDS = (watch,)
