"""The one place through which the command line prints: nothing that it prints drives a terminal."""

import codecs
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from lrsearch.cli.links import linked
from lrsearch.shown_text import visible, visible_output


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
