"""Commands that write what came of a study into files: report, export."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from lrsearch.cli import options
from lrsearch.cli.options import json_option, name_argument, open_stored_study, print_json
from lrsearch.cli.output import say
from lrsearch.cli.reading import reading

if TYPE_CHECKING:
    from lrsearch.export import Exported
    from lrsearch.storage.location import Location


@click.command()
@name_argument
@options.report_option
@click.option("--png", is_flag=True, help="Write each figure as a PNG file too.")
@reading
def report(name: str, out: Path | None, png: bool, storage: "Location") -> None:
    """Write the report of a study.

    The folder gets report.html (one file, which needs no other), report.md, the figures as SVG, and
    the best recipe as best.yaml and best.py; for a script of your own as best.yaml, best.json and
    best.sh, the command that trains it.

    \b
    Example:
      lrsearch report digits --out digits-report
    """
    from lrsearch.report import files
    from lrsearch.spec.shipped_studies import folders
    from lrsearch.task.own_code import load_recorded

    study = open_stored_study(storage, name)
    load_recorded(study.spec.own_names(), study.code, folders())
    _, folder = files.write_files(study, out, png=png)
    page = folder.absolute() / "report.html"
    say(f"report: {page}", link=page)


@click.command()
@name_argument
@click.option(
    "--trial",
    type=int,
    metavar="N",
    help="Trial whose recipe is written; default the confirmed one, else the search's best.",
)
@click.option(
    "--format",
    "form",
    default="yaml",
    show_default=True,
    metavar="FORMAT",
    help="yaml, json, torch, lightning, transformers, timm, hydra or command.",
)
@click.option(
    "--epochs",
    type=click.IntRange(min=1),
    metavar="N",
    help="Stretch the schedule over so many epochs; lr is kept, though the best one may move.",
)
@click.option(
    "--batch-size",
    type=click.IntRange(min=1),
    metavar="N",
    help="The recipe's own alone: how the best lr moves with it has not been measured.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="File to write, or a folder to write it into; default stdout.",
)
@json_option
@reading
def export(
    name: str,
    trial: int | None,
    form: str,
    epochs: int | None,
    batch_size: int | None,
    out: Path | None,
    as_json: bool,
    storage: "Location",
) -> None:
    """Write a study's recipe as code or settings for your training.

    `yaml` and `json` are files for lrsearch.Recipe.load, `torch` is PyTorch code without lrsearch.
    `lightning`, `transformers`, `timm` and `hydra` are settings of these; a recipe that one cannot
    express is refused. `command` is the command of a study with a script of your own. With --json
    the document says what the format loses of the recipe (`lost`), and what else to know
    (`warnings`).

    \b
    Example:
      lrsearch export digits --format torch --out best.py
    """
    from lrsearch.cli.renamed import say_renamed
    from lrsearch.export import check_format
    from lrsearch.report import files
    from lrsearch.spec.shipped_studies import folders
    from lrsearch.task.own_code import load_recorded

    if form == "shell":
        say_renamed("--format shell", "--format command")
    form = check_format(form)
    study = open_stored_study(storage, name, quiet=True)
    load_recorded(study.spec.own_names(), study.code, folders())
    changes = files.Changes(epochs=epochs, batch_size=batch_size)
    exported = files.export_recipe(study, trial=trial, form=form, changes=changes)
    path = None if out is None else _write(exported, out)
    _print_exported(exported, form, path, as_json=as_json)


def _print_exported(exported: "Exported", form: str, path: Path | None, *, as_json: bool) -> None:
    from lrsearch.report.documents import exported_document

    if as_json:
        print_json(exported_document(exported, form, path))
        return
    for note in exported.notes:
        say(f"note: {note}", err=True)
    if path is None:
        say(exported.text, nl=False)
    else:
        say(f"wrote {path}", err=True)


def _write(exported: "Exported", out: Path) -> Path:
    from lrsearch.errors import SpecError
    from lrsearch.report import files

    try:
        return files.write_exported(exported, out)
    except OSError as error:
        raise SpecError(
            f"--out {out}: {error.strerror}; name a file to write, or a folder that is there"
        ) from error


COMMANDS = (report, export)
