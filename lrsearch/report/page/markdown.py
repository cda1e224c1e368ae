"""Markdown (GitHub's) in which text from outside is text: no HTML, link, picture or heading."""

import re
from typing import Any

from markupsafe import Markup

from lrsearch.report.text.grid import Grid
from lrsearch.shown_text import visible

#: What makes code, emphasis, links, pictures, strikethrough, cells, HTML and entities of text
#: (GitHub Flavored Markdown, "Inlines"). An underscore within a word makes nothing.
_INLINE = re.compile(r"[\\`*\[\]|~]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")
#: What makes a heading, a quotation, a list or a line of a paragraph that begins so ("Blocks").
_BLOCK = re.compile(r"^(>|=|#(?=[#\s]|$)|[+-](?=[-\s]|$)|\d{1,9}(?=[.)](\s|$)))")
_FENCE = re.compile("`{3,}")


def escape(text: str) -> Markup:
    """Text on one line, as a reader of the rendered page sees it."""
    inline = _inline(text)
    number = _BLOCK.match(inline)
    if number is None:
        return Markup(inline)
    end = number.end() if number[0][0].isdigit() else 0
    return Markup(f"{inline[:end]}\\{inline[end:]}")


def cell(text: str) -> Markup:
    """Text that stays inside its cell of a table, where no block begins."""
    return Markup(_inline(text))


def finalize(value: Any) -> Markup:
    """What a template prints: text is escaped unless it is Markdown already."""
    return value if isinstance(value, Markup) else escape(str(value))


def table(grid: Grid) -> Markup:
    """A table."""
    lines = [_row(grid.columns), f"|{' --- |' * len(grid.columns)}"]
    return Markup("\n".join([*lines, *map(_row, grid.rows)]) + "\n")


def fenced(text: str, language: str) -> Markup:
    """A block of code, with a fence that is not in it."""
    longest = max((len(found) for found in _FENCE.findall(text)), default=2)
    fence = "`" * (longest + 1)
    return Markup(f"{fence}{language}\n{visible(text).rstrip()}\n{fence}")


def _row(cells: tuple[str, ...]) -> str:
    return f"| {' | '.join(map(cell, cells))} |"


def _inline(text: str) -> str:
    line = visible(" ".join(text.split())).replace("&", "&amp;").replace("<", "&lt;")
    return _INLINE.sub(r"\\\g<0>", line)
