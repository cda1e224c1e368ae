"""Commands on one trial of a study."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from lrsearch.cli.listing import Group
from lrsearch.cli.options import common, json_option, name_argument, open_stored_study, print_json
from lrsearch.cli.output import say, say_output
from lrsearch.cli.reading import reading
from lrsearch.cli.renamed import say_renamed

if TYPE_CHECKING:
    from lrsearch.storage.location import Location
    from lrsearch.study.stored_study import StoredStudy

number_argument = click.argument("number", metavar="N", type=int)


@click.group(cls=Group)
def trial() -> None:
    """Show, stop and add single trials of a study.

    \b
    Example:
      lrsearch trial show digits 3
    """


@trial.command()
@name_argument
@number_argument
@json_option
@reading
def show(name: str, number: int, as_json: bool, storage: "Location") -> None:
    """Show a trial: state, recipe, worker, attempts, checkpoints.

    An attempt is one worker's part in a trial. The lease is the time in which that worker has to
    report; when it ends, another worker goes on with the trial.

    \b
    Example:
      lrsearch trial show digits 3
    """
    from lrsearch.report.one_trial import details, details_document
    from lrsearch.report.text.trial import details_text

    study = open_stored_study(storage, name, quiet=as_json)
    found = details(study, number)
    if as_json:
        print_json(details_document(found))
    else:
        say(details_text(name, found))


@trial.command()
@name_argument
@number_argument
@click.option(
    "--seed", type=int, metavar="SEED", help="Print its confirmation run with this seed instead."
)
@click.option("--follow", is_flag=True, help="Go on until the trial ends.")
@reading
def log(name: str, number: int, seed: int | None, follow: bool, storage: "Location") -> None:
    """Print what the script of a trial wrote to its terminal.

    All attempts follow each other, with a line between them. The output is kept in
    lrsearch-trials/NAME below the folder that the worker was started in; run this command there.

    \b
    Example:
      lrsearch trial log wlm 3 --follow
    """
    from lrsearch.report.output import chunks

    study = open_stored_study(storage, name, quiet=True)
    say_output(chunks(study, number, seed, follow=follow))


@trial.command()
@name_argument
@number_argument
@common
def stop(name: str, number: int, storage: str | None) -> None:
    """End a running trial early.

    It ends as pruned, as if it had fallen behind, and keeps its validations.

    \b
    Example:
      lrsearch trial stop digits 3
    """
    from lrsearch.study.trial_commands import stop as stop_trial

    say(stop_trial(open_stored_study(storage, name), number))


@trial.command()
@name_argument
@click.option(
    "--recipe",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="YAML or JSON file with the recipe.",
)
@click.option("--like", type=int, metavar="N", help="Trial whose recipe is trained once more.")
@common
def add(name: str, recipe: Path | None, like: int | None, storage: str | None) -> None:
    """Add a trial with a given recipe.

    The next free worker trains it. The trial counts in the budget.

    \b
    Example:
      lrsearch trial add digits --recipe recipe.yaml
    """
    _add(name, recipe, like, storage)


def _add(name: str, recipe: Path | None, like: int | None, storage: str | None) -> None:
    from lrsearch.errors import SpecError
    from lrsearch.spec.shipped_studies import folders
    from lrsearch.study.enqueue import enqueue
    from lrsearch.study.trial_commands import rerun
    from lrsearch.task.own_code import load_recorded
    from lrsearch.user_input import read_yaml

    if (recipe is None) == (like is None):
        raise SpecError("trial add takes one of --recipe FILE and --like N")
    if recipe is None:
        assert like is not None
        study = open_stored_study(storage, name)
        added = rerun(study, like)
    else:
        content = read_yaml(recipe, "recipe")
        study = open_stored_study(storage, name)
        load_recorded(study.spec.own_names(), study.code, folders())
        added = enqueue(study, content, where=str(recipe))
    _say_added(study, added.title())


def _say_added(study: "StoredStudy", title: str) -> None:
    say(f"added to {study.name}: {title}")
    with study.database.read() as connection:
        if not study.may_start(connection):
            say(
                "the budget is used: the trial starts when `lrsearch run FILE --trials N` adds some"
            )


@trial.command(hidden=True)
@name_argument
@number_argument
@common
def rerun(name: str, number: int, storage: str | None) -> None:
    """The earlier name of `trial add NAME --like N`.

    \b
    Example:
      lrsearch trial rerun digits 3
    """
    say_renamed("lrsearch trial rerun", f"lrsearch trial add {name} --like {number}")
    _add(name, None, number, storage)


@trial.command(hidden=True)
@name_argument
@click.argument("recipe", metavar="FILE", type=click.Path(path_type=Path))
@common
def enqueue(name: str, recipe: Path, storage: str | None) -> None:
    """The earlier name of `trial add NAME --recipe FILE`.

    \b
    Example:
      lrsearch trial enqueue digits recipe.yaml
    """
    say_renamed("lrsearch trial enqueue", f"lrsearch trial add {name} --recipe {recipe}")
    _add(name, recipe, None, storage)


COMMANDS = (trial,)
