"""`study compare`: studies beside each other."""

import click

from lrsearch.cli.options import announce, common, json_option, name_argument, print_json


@click.command()
@name_argument
@click.argument("others", metavar="OTHER...", nargs=-1, required=True)
@json_option
@common
def compare(name: str, others: tuple[str, ...], as_json: bool, storage: str | None) -> None:
    """Compare studies: whose recipe is better, and in what they differ.

    Each OTHER is compared with NAME: the difference of the recipes on fresh seeds with its 95 %
    interval, cost, safe learning rates, spaces and study files. All have the same objective.

    \b
    Example:
      lrsearch study compare digits digits-2
    """
    from lrsearch.report.comparison.documents import comparison_document
    from lrsearch.report.comparison.load import load_comparison
    from lrsearch.report.comparison.text import comparison_text
    from lrsearch.study.prepare_database import open_database

    database = open_database(storage)
    announce(database, quiet=as_json)
    found = load_comparison(database, (name, *others))
    if as_json:
        print_json(comparison_document(found))
    else:
        click.echo(comparison_text(found))


COMMANDS = (compare,)
