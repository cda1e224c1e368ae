"""`lrsearch tune`: a study of a command, without a study file."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lrsearch.cli import machine_options, options
from lrsearch.cli.options import common, json_option
from lrsearch.cli.output import say
from lrsearch.cli.run import search

if TYPE_CHECKING:
    from lrsearch.command.tune_study import Tuned
    from lrsearch.worker.resources import Resources


def _values(option: str, of: str) -> Callable[[options.Command], options.Command]:
    return click.option(option, metavar="VALUES", help=f"{of}: LOW..HIGH, a,b,c or one value.")


# What follows the first word of COMMAND is its own, also where `--` was forgotten.
@click.command(context_settings={"allow_interspersed_args": False})
@click.argument("command", metavar="COMMAND", nargs=-1, required=True, type=click.UNPROCESSED)
@click.option(
    "--metric",
    "metrics",
    multiple=True,
    metavar="NAME=PATTERN",
    help="The objective, and a regular expression over the output with one group around the "
    "number; more metrics after the first are recorded.",
)
@click.option(
    "--json-lines", metavar="FILE", help="Metrics are JSON objects, a line each; stdout or a file."
)
@click.option("--csv", metavar="FILE", help="Metrics are in this table, which has a header.")
@click.option("--tensorboard", metavar="DIR", help="Metrics are in the event files of this folder.")
@click.option(
    "--direction",
    type=click.Choice(["minimize", "maximize"]),
    help="Whether less or more of the objective is better; default by its name.",
)
@_values("--lr", "Learning rate")
@_values("--weight-decay", "Weight decay")
@_values("--momentum", "Momentum")
@_values("--warmup", "Warm-up, as fractions of all steps")
@click.option(
    "--param",
    "params",
    multiple=True,
    metavar="NAME=VALUES",
    help="Anything else that has a placeholder {NAME} in the command.",
)
@click.option("--optimizer", metavar="NAMES", help="Optimizers, apart by commas.")
@click.option("--schedule", metavar="NAMES", help="Schedules, apart by commas.")
@click.option("--epochs", type=int, metavar="N", help="Length of a full training, in epochs.")
@click.option("--steps", type=int, metavar="N", help="The same in optimizer steps.")
@click.option(
    "--runs", type=int, metavar="N", help="Budget: N full trainings, all included; default 20."
)
@click.option("--seed", type=int, metavar="N", help="Seed of the search; default 0.")
@click.option(
    "--confirm",
    type=click.Choice(["auto", "none"]),
    help="Whether the best are trained again with fresh seeds; default if the command has {seed}.",
)
@click.option(
    "--name", help="Name of the study in the database; default the script's and a few characters."
)
@click.option(
    "--write",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write the study file, and do not train.",
)
@machine_options.resources_options
@options.report_option
@json_option
@common
def tune(
    resources: "Resources",
    write: Path | None,
    out: Path | None,
    as_json: bool,
    storage: str | None,
    json_lines: str | None,
    csv: str | None,
    tensorboard: str | None,
    **given: Any,
) -> None:
    """Search the arguments of a training script that stays as it is.

    {lr}, {seed}, {epochs} and the like in COMMAND stand for the values of a trial. The command runs
    once for each trial, without a shell, and its metric is read from its output. What is decided by
    default is said first. The same command goes on where it was interrupted.

    \b
    Example:
      lrsearch tune --metric val_loss='valid loss +(\\S+)' --lr 1e-4..1e-1 --epochs 8 --runs 20 \\
        -- python train.py --lr {lr} --seed {seed} --epochs {epochs}
    """
    from lrsearch.command.interpreter import python_lines
    from lrsearch.command.tune_options import TuneOptions
    from lrsearch.command.tune_study import tuned

    sources = {"json_lines": json_lines, "csv": csv, "tensorboard": tensorboard}
    made = tuned(TuneOptions(sources=sources, **given), _has_field)
    for line in (*made.lines, *python_lines(given["command"])):
        say(line, err=as_json)
    if write is not None:
        _write_new(made, write)
        say(f"wrote {write}; train it: lrsearch run {write}", err=as_json)
        return
    from lrsearch.child_process.folders import keep_study_file

    path = keep_study_file(made.name, _text(made))
    say(f"study file: {path}", err=as_json)
    checked = options.trained_file(path, resources=resources, storage=storage)
    search(checked, resources, out=out, as_json=as_json, storage=storage)


def _has_field(optimizer: str, field: str) -> bool:
    """Whether an optimizer has a field; raises SpecError for one that is not known."""
    from lrsearch.catalog.lookup import optimizer_info
    from lrsearch.command.tune_options import SCRIPT

    if optimizer == SCRIPT:
        return True
    fields = optimizer_info(optimizer, "--optimizer").fields
    return field == "lr" or field in fields or (field in ("beta1", "beta2") and "betas" in fields)


def _write_new(made: "Tuned", path: Path) -> None:
    """Raises SpecError where a file is, or no file can be."""
    from lrsearch.errors import SpecError

    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(_text(made))
    except FileExistsError as error:
        raise SpecError(f"--write {path}: the file is there already; name another one") from error
    except OSError as error:
        raise SpecError(f"--write {path}: cannot write it: {error.strerror}") from error


def _text(made: "Tuned") -> str:
    from lrsearch.user_input import to_yaml

    return f"# Written by `lrsearch tune`.\n{to_yaml(made.document)}"


COMMANDS = (tune,)
