"""`study compare`: studies beside each other."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from lrsearch.cli.options import announce, json_option, name_argument, print_json
from lrsearch.cli.output import say
from lrsearch.cli.reading import reading

if TYPE_CHECKING:
    from lrsearch.storage.location import Location


@click.command()
@name_argument
@click.argument("others", metavar="OTHERS", nargs=-1, required=True)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write a page with figures into FILE.html, or the text and tables into FILE.md.",
)
@json_option
@reading
def compare(
    name: str, others: tuple[str, ...], out: Path | None, as_json: bool, storage: "Location"
) -> None:
    """Compare studies: whose recipe is better, and in what they differ.

    OTHERS are one or more studies, and NAME@URL is a study of another database. Each is compared
    with NAME: the difference of their recipes on fresh seeds with its 95 % interval, cost, safe
    learning rates, spaces and study files. All have one objective.

    \b
    Example:
      lrsearch study compare digits digits-2
    """
    from lrsearch.report.comparison.documents import comparison_document
    from lrsearch.report.comparison.load import Named, load_comparison, open_databases
    from lrsearch.report.comparison.out import check_file
    from lrsearch.report.comparison.text import comparison_text

    if out is not None:
        check_file(out)
    studies = [Named.parse(text) for text in (name, *others)]
    databases = open_databases(studies, storage)
    for database in databases.values():
        announce(database, quiet=as_json)
    found = load_comparison(studies, databases)
    if out is not None:
        from lrsearch.report.comparison.page import write_comparison  # altair

        write_comparison(found, out)
    if as_json:
        print_json(comparison_document(found))
    else:
        say(comparison_text(found))
    if out is not None:
        path = out.absolute()
        say(f"written: {path}", link=path, err=as_json)


COMMANDS = (compare,)
