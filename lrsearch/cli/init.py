"""`lrsearch init`: a study file to begin with."""

from collections.abc import Mapping
from pathlib import Path

import click

from lrsearch.cli.output import say


@click.command()
@click.argument(
    "script",
    metavar="[SCRIPT]",
    required=False,
    type=click.Path(path_type=Path),
)
@click.argument("arguments", metavar="[-- ARGUMENTS]", nargs=-1, type=click.UNPROCESSED)
@click.option(
    "--command",
    is_flag=True,
    help="For a script that stays as it is; without SCRIPT an example of one.",
)
@click.option(
    "--train", is_flag=True, help="For a loop that changes by some lines, and list those."
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="The study file; default study.yaml.",
)
def init(
    script: Path | None, arguments: tuple[str, ...], command: bool, train: bool, out: Path | None
) -> None:
    """Write a study file to begin with.

    Without SCRIPT the command writes an example that runs as it is: a study file and a task on
    generated data. With SCRIPT, a training script in Python, it reads the script, which it does not
    run. If that takes the learning rate as an argument, the study runs it unchanged; ARGUMENTS are
    what it always gets. Else the command lists the lines that have to change. Nothing that is there
    is overwritten, and nothing is asked.

    \b
    Example:
      lrsearch init && lrsearch run study.yaml
    """
    from lrsearch.errors import SpecError
    from lrsearch.starter.new_files import write_new

    if command and train:
        raise SpecError("--command and --train exclude each other; give one of them")
    if script is None and train:
        raise SpecError("--train needs a script: lrsearch init --train SCRIPT")
    if script is None:
        from lrsearch.starter.example import example

        study, lines = out or Path("study.yaml"), ["run it: lrsearch run {study}"]
        files = example(study, command=command)
    else:
        study, files, lines = _of_script(script, arguments, command=command, train=train, out=out)
    write_new(files)
    for line in [*(f"wrote {path}" for path in files), *lines]:
        say(line.replace("{study}", str(study)))


def _of_script(
    script: Path, given: tuple[str, ...], *, command: bool, train: bool, out: Path | None
) -> tuple[Path, Mapping[Path, str], list[str]]:
    """The study file for a script: its path, the files to write, and what to tell."""
    from lrsearch.errors import SpecError
    from lrsearch.starter.command_study import command_study
    from lrsearch.starter.look import look_at
    from lrsearch.starter.source import Source
    from lrsearch.starter.train_study import train_study

    source = Source.read(script)
    look = look_at(source, given)
    if "lr" in look.roles and not train:
        study = out or Path("study.yaml")
        made = command_study(look, study)
        lines = [f"found in {script}:", *(f"  {line}" for line in made.lines)]
        return study, {study: made.text}, [*lines, "look through it, then: lrsearch check {study}"]
    if command:
        raise SpecError(
            f"{script} takes no learning rate as an argument; give it one (--lr), or leave "
            "--command out: its loop can be searched after some changes"
        )
    study = out or script.with_name("study.yaml")
    if study.absolute().parent != script.absolute().parent:
        raise SpecError(
            f"--out {study}: a study of a loop lies beside its script; name a file in "
            f"{script.absolute().parent}"
        )
    made = train_study(source, look, study)
    return study, {study: made.text}, [*made.lines, "then: lrsearch check {study}"]


COMMANDS = (init,)
