"""What a script prints and logs: literal text with holes for values, a line each."""

import ast
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from string import Formatter

from lrsearch.starter.source import Source, called

#: Last names of calls that write a line.
WRITERS = frozenset(
    {"print", "info", "log", "warning", "debug", "write", "echo", "print_rank_0", "log_string"}
    | {"print_on_master", "print0", "secho", "critical"}
)
#: What stands for a hole while patterns are tried.
SAMPLE = "0.5"
_PERCENT = re.compile(r"%(?:\((\w+)\))?[-+ #0]*[\d*]*(?:\.\d+)?[a-zA-Z%]")


@dataclass(frozen=True, kw_only=True)
class Hole:
    """A value in a message."""

    #: The expression, such as `val_loss / n`.
    source: str
    #: Whether it is padded to a width: spaces may stand before the number.
    padded: bool = False
    #: Whether its format is that of a number.
    is_number: bool = False


Part = str | Hole


@dataclass(frozen=True, kw_only=True)
class Line:
    """A line of a message."""

    parts: tuple[Part, ...]
    #: Of the script, from 1.
    number: int
    #: The function that prints it; empty at the top of the module.
    function: str
    #: Whether it is printed again and again.
    repeated: bool
    #: Whether it stands in a loop of a function that is called again and again: for each batch.
    inner: bool

    def before(self, hole: int) -> str:
        """The literal text from the hole before, or from the beginning of the line, to this one."""
        previous = self.parts[hole - 1] if hole else ""
        return previous if isinstance(previous, str) else ""

    def after(self, hole: int) -> str:
        following = self.parts[hole + 1] if hole + 1 < len(self.parts) else ""
        return following if isinstance(following, str) else ""


def rendered(parts: Sequence[Part]) -> str:
    """The text with a number in each hole."""
    return "".join(part if isinstance(part, str) else SAMPLE for part in parts)


def printed_lines(source: Source) -> list[Line]:
    """Every line that a script prints or logs, as far as its text can be read."""
    found = []
    for call in source.calls():
        is_text = bool(call.args) and not isinstance(call.args[0], ast.Dict)  # wandb.log({...})
        if called(call) in WRITERS and is_text:
            found += [
                Line(
                    parts=parts,
                    number=call.lineno,
                    function=source.function_of(call),
                    repeated=source.is_repeated(call),
                    inner=source.is_inner(call),
                )
                for parts in _split(_message(call))
            ]
    return found


def _message(call: ast.Call) -> list[Part]:
    """The arguments of `print`, joined by spaces; the format and values of a logger's call."""
    first = call.args[0]
    text = first.value if isinstance(first, ast.Constant) else None
    if isinstance(text, str) and len(call.args) > 1 and _PERCENT.search(text):
        return list(_percent(text, list(call.args[1:])))
    parts: list[Part] = []
    for place, argument in enumerate(call.args):
        parts += [*([" "] if place else []), *_parts(argument)]
    return parts


def _parts(node: ast.expr) -> list[Part]:
    """Literal text and holes of an expression that makes a text."""
    match node:
        case ast.Constant(value=str(text)):
            return [text]
        case ast.JoinedStr(values=values):
            return [part for value in values for part in _parts(value)]
        case ast.FormattedValue(value=value, format_spec=spec):
            width = "" if spec is None else "".join(map(str, _parts(spec)))
            return [_hole(ast.unparse(value), width)]
        case ast.BinOp(left=left, op=ast.Add(), right=right) if _makes_text(node):
            return [*_parts(left), *_parts(right)]
        case ast.BinOp(left=ast.Constant(value=str(text)), op=ast.Mod(), right=right):
            values = list(right.elts) if isinstance(right, ast.Tuple) else [right]
            return list(_percent(text, values))
        case ast.Call(func=ast.Attribute(value=text, attr="format")) if _makes_text(text):
            return list(_formatted(_parts(text), node))
        case ast.Call(func=ast.Name(id="str"), args=[value]):
            return _parts(value)
    return [Hole(source=ast.unparse(node))]


def _makes_text(node: ast.expr) -> bool:
    match node:
        case ast.Constant(value=str()) | ast.JoinedStr():
            return True
        case ast.BinOp(left=left, op=ast.Add() | ast.Mod(), right=right):
            return _makes_text(left) or _makes_text(right)
    return False


def _percent(text: str, values: list[ast.expr]) -> Iterator[Part]:
    """`"loss %.4f" % loss`, or a logger's format with its values."""
    start, waiting = 0, iter(values)
    for found in _PERCENT.finditer(text):
        yield text[start : found.start()]
        start = found.end()
        if found[0].endswith("%"):
            yield "%"
            continue
        value = found[1] if found[1] else next(waiting, None)
        name = value if isinstance(value, str) else "" if value is None else ast.unparse(value)
        spec = re.sub(r"%(\(\w+\))?|[ #]", "", found[0])
        yield _hole(name, spec)
    yield text[start:]


def _formatted(text: list[Part], call: ast.Call) -> Iterator[Part]:
    """`"loss {:.4f}".format(loss)`."""
    whole = "".join(part for part in text if isinstance(part, str))
    by_name = {part.arg: part.value for part in call.keywords if part.arg}
    counted = 0
    try:
        pieces = list(Formatter().parse(whole))
    except ValueError:
        yield whole
        return
    for literal, field, spec, _ in pieces:
        yield literal
        if field is None:
            continue
        word = re.split(r"[.\[]", field)[0]
        place = counted if not word else int(word) if word.isdecimal() else None
        counted += not word
        value = (
            by_name.get(word) if place is None else next(iter(call.args[place : place + 1]), None)
        )
        rest = field.removeprefix(word)
        name = word if value is None else ast.unparse(value) + rest
        yield _hole(name, spec or "")


def _hole(source: str, spec: str) -> Hole:
    """A value with its format: `5.2f`, `:>7.3f`, `04d`."""
    padded = re.match(r"(.?[<>=^])?[-+ ]?[1-9]", spec) is not None
    return Hole(source=source, padded=padded, is_number=spec[-1:] in ("f", "g", "e", "%"))


def _split(parts: list[Part]) -> Iterator[tuple[Part, ...]]:
    """The lines of a message; pieces of text that touch are joined."""
    line: list[Part] = []
    for part in parts:
        pieces: list[Part] = [*part.split("\n")] if isinstance(part, str) else [part]
        for place, piece in enumerate(pieces):
            if place:
                yield tuple(line)
                line = []
            if isinstance(piece, str) and line and isinstance(line[-1], str):
                line[-1] += piece
            elif piece != "":
                line.append(piece)
    yield tuple(line)
