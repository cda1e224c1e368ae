"""`lrsearch init`: a study file to begin with."""

from pathlib import Path

import click


@click.command()
@click.argument(
    "script",
    metavar="[SCRIPT]",
    required=False,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
)
@click.option(
    "--command", is_flag=True, help="Without SCRIPT: an example of a script that stays as it is."
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    default=Path("study.yaml"),
    show_default=True,
    help="The study file; what belongs to it is written beside it.",
)
def init(script: Path | None, command: bool, out: Path) -> None:
    """Write a study file to begin with.

    Without SCRIPT the command writes an example that runs as it is: a study file and a task on
    generated data. Nothing that is there is overwritten, and nothing is asked.

    \b
    Example:
      lrsearch init && lrsearch run study.yaml
    """
    from lrsearch.starter.example import example
    from lrsearch.starter.new_files import write_new

    files = example(out, command=command)
    write_new(files)
    for path in files:
        click.echo(f"wrote {path}")
    click.echo(f"run it: lrsearch run {out}")


COMMANDS = (init,)
