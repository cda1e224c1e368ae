"""Commands that write what came of a study into files: report, export."""

from pathlib import Path

import click

from lrsearch.cli import options
from lrsearch.cli.links import linked
from lrsearch.cli.options import common, name_argument, open_stored_study


@click.command()
@name_argument
@options.report_option
@common
def report(name: str, out: Path | None, storage: str | None) -> None:
    """Write the report of a study.

    The folder gets report.html (one file, which needs no other), report.md, the plots as PNG, and
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
    _, folder = files.write_files(study, out)
    page = folder.absolute() / "report.html"
    click.echo(linked(f"report: {page}", page))


@click.command()
@name_argument
@click.option(
    "--trial",
    type=int,
    metavar="N",
    help="Trial whose recipe is written; default the confirmed one, else the search's best.",
)
@click.option(
    "--format", "form", default="yaml", show_default=True, help="yaml, json, torch or shell."
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="PATH",
    help="File to write; default stdout.",
)
@common
def export(name: str, trial: int | None, form: str, out: Path | None, storage: str | None) -> None:
    """Write a study's recipe as config or plain PyTorch code.

    Of a study with a script of your own, `--format shell` writes the command that trains it.

    \b
    Example:
      lrsearch export digits --format torch --out best.py
    """
    from lrsearch.errors import SpecError
    from lrsearch.report import files
    from lrsearch.spec.shipped_studies import folders
    from lrsearch.task.own_code import load_recorded

    study = open_stored_study(storage, name, quiet=True)
    load_recorded(study.spec.own_names(), study.code, folders())
    text = files.export_text(study, trial=trial, form=form)
    if out is None:
        click.echo(text, nl=False)
        return
    try:
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        raise SpecError(f"--out {out}: {error.strerror}; name a file to write") from error
    click.echo(f"wrote {out}", err=True)


COMMANDS = (report, export)
