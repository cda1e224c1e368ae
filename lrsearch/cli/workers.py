"""Commands on the workers of a study."""

from typing import Any

import click

from lrsearch.cli.options import common, json_option, name_argument, open_named_study, print_json


@click.command()
@name_argument
@click.option("--all", "everyone", is_flag=True, help="Also those that have ended.")
@json_option
@common
def workers(name: str, everyone: bool, as_json: bool, storage: str | None) -> None:
    """Show who works on a study: where, on what, last seen when.

    \b
    Example:
      lrsearch workers digits
    """
    from lrsearch.report.workers import last_notes, worker_rows

    search = open_named_study(storage, name, quiet=as_json)
    rows = worker_rows(search, everyone=everyone)
    if as_json:
        print_json(rows)
        return
    for row in rows:
        click.echo(_line(row))
    if not rows:
        click.echo(f"nobody works on {name}; start workers with\n  lrsearch worker {name}")
    for note in last_notes(search):
        click.echo(f"  {note}")


def _line(row: dict[str, Any]) -> str:
    doing = row["doing"] or "looks for work"
    state = doing if row["state"] == "working" else row["state"]
    where = f"{row['host']}  pid {row['pid']}  {row['device']}"
    return f"{where}  {state}  seen {row['seen_seconds_ago']:.0f} s ago"


COMMANDS = (workers,)
