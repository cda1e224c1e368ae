"""Commands on one trial of a study."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from lrsearch.cli.options import common, json_option, name_argument, open_named_study, print_json

if TYPE_CHECKING:
    from lrsearch.study.open_study import OpenStudy

number_argument = click.argument("number", metavar="N", type=int)


@click.group()
def trial() -> None:
    """One trial of a study.

    \b
    Example:
      lrsearch trial enqueue digits recipe.yaml
    """


@trial.command()
@name_argument
@number_argument
@json_option
@common
def show(name: str, number: int, as_json: bool, storage: str | None) -> None:
    """Show a trial: state, recipe, attempts, who trains it, checkpoints.

    \b
    Example:
      lrsearch trial show digits 3
    """
    from lrsearch.report.one_trial import details, details_document
    from lrsearch.report.text.trial import details_text

    search = open_named_study(storage, name, quiet=as_json)
    found = details(search, number)
    if as_json:
        print_json(details_document(found))
    else:
        click.echo(details_text(name, found))


@trial.command()
@name_argument
@number_argument
@common
def stop(name: str, number: int, storage: str | None) -> None:
    """End a running trial as pruned, with the validations that it has.

    \b
    Example:
      lrsearch trial stop digits 3
    """
    from lrsearch.study.trial_commands import stop as stop_trial

    click.echo(stop_trial(open_named_study(storage, name), number))


@trial.command()
@name_argument
@number_argument
@common
def rerun(name: str, number: int, storage: str | None) -> None:
    """Enqueue a trial's recipe as a new trial; it counts in the budget.

    \b
    Example:
      lrsearch trial rerun digits 3
    """
    from lrsearch.study.trial_commands import rerun as enqueue_again

    search = open_named_study(storage, name)
    recipe = enqueue_again(search, number)
    _say_enqueued(search, recipe.title())


@trial.command()
@name_argument
@click.argument("recipe", type=click.Path(path_type=Path))
@common
def enqueue(name: str, recipe: Path, storage: str | None) -> None:
    """Let the next free worker train the recipe in a YAML or JSON file.

    \b
    Example:
      lrsearch trial enqueue digits recipe.yaml
    """
    from lrsearch.study import create
    from lrsearch.user_input import read_yaml

    content = read_yaml(recipe, "recipe")
    search = open_named_study(storage, name)
    full = create.enqueue(search, content, where=str(recipe))
    _say_enqueued(search, full.title())


def _say_enqueued(search: "OpenStudy", title: str) -> None:
    click.echo(f"enqueued in {search.name}: {title}")
    with search.database.read() as connection:
        if not search.may_start(connection):
            click.echo(
                "the budget is used: it starts once `lrsearch run FILE --trials N` adds some"
            )


COMMANDS = (trial,)
