"""The one place through which the command line prints: nothing that it prints drives a terminal."""

import codecs
import csv
import io
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from lrsearch.cli.links import linked
from lrsearch.shown_text import visible, visible_output

#: How a cell begins that spreadsheets compute (OWASP, "CSV Injection"). A carriage return, which
#: OWASP names too, is written out.
FORMULA = ("=", "+", "-", "@", "\t", "\n")


def say(text: str, *, err: bool = False, nl: bool = True, link: Path | None = None) -> None:
    """Print text on stdout, or on stderr. A `link` in it opens that file (see `linked`)."""
    shown = visible(text)
    click.echo(shown if link is None else linked(shown, link), err=err, nl=nl)


def say_output(chunks: Iterable[bytes]) -> None:
    """Print what a script wrote: to the byte, but on a terminal only its text and colours."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    on_terminal = sys.stdout.isatty()
    for chunk in chunks:
        text = visible_output(decoder.decode(chunk)) if on_terminal else chunk
        click.echo(text, nl=False)


def json_text(value: Any, *, indent: int | None = None) -> str:
    """A JSON document in printable ASCII: what would drive a terminal stands in it as `\\u001b`."""
    return json.dumps(value, indent=indent, allow_nan=False).replace("\x7f", "\\u007f")


def csv_text(keys: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> str:
    """A table whose header is `keys`; no cell of it is a formula to a spreadsheet."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(map(_no_formula, keys))
    writer.writerows([_no_formula(row.get(key)) for key in keys] for row in rows)
    return text.getvalue()


def _no_formula(cell: Any) -> Any:
    """Text that a spreadsheet would compute, after an apostrophe; numbers are as they are."""
    if not isinstance(cell, str):
        return cell
    text = visible(cell)
    try:
        float(text)
    except ValueError:
        return f"'{text}" if text.startswith(FORMULA) else text
    return text
