"""A script as it was parsed, and small questions to its syntax tree."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from lrsearch.errors import SpecError
from lrsearch.plain_data import Unchecked

Function = ast.FunctionDef | ast.AsyncFunctionDef
Loop = ast.For | ast.AsyncFor | ast.While


@dataclass(frozen=True, kw_only=True)
class Source:
    """A script: its text and its tree. It is never run."""

    path: Path
    text: str
    tree: ast.Module

    @classmethod
    def read(cls, path: Path) -> "Source":
        """Raises SpecError for a file that is not there, is no text, or is no Python."""
        try:
            text = path.read_text(encoding="utf-8")
            return cls(path=path, text=text, tree=ast.parse(text))
        except OSError as error:
            raise SpecError(f"{path}: cannot read the script: {error.strerror}") from error
        except (UnicodeDecodeError, ValueError) as error:
            raise SpecError(f"{path}: the script is not UTF-8 text") from error
        except SyntaxError as error:
            raise SpecError(
                f"{path}, line {error.lineno}: not the Python of this interpreter: {error.msg}"
            ) from error

    @cached_property
    def nodes(self) -> list[ast.AST]:
        """Every node of the tree, in the order of the lines."""
        found = list(ast.walk(self.tree))
        return sorted(found, key=lambda node: getattr(node, "lineno", 0))

    @cached_property
    def parents(self) -> dict[ast.AST, ast.AST]:
        return {child: node for node in self.nodes for child in ast.iter_child_nodes(node)}

    def above(self, node: ast.AST) -> Iterator[ast.AST]:
        """What a node stands in, from the inside outward."""
        while (found := self.parents.get(node)) is not None:
            yield found
            node = found

    def function_of(self, node: ast.AST) -> str:
        """The function that a node stands in; empty at the top of the module."""
        return next((up.name for up in self.above(node) if isinstance(up, Function)), "")

    def calls(self) -> Iterator[ast.Call]:
        return (node for node in self.nodes if isinstance(node, ast.Call))

    def line(self, node: ast.AST) -> str:
        """The line on which a node begins, as it stands there."""
        return self.text.splitlines()[getattr(node, "lineno", 1) - 1].strip()

    @cached_property
    def repeated(self) -> frozenset[str]:
        """Functions that a loop calls, directly or through others."""
        calls = [(called(call), call) for call in self.calls()]
        found = {name for name, call in calls if self._in_loop(call)}
        while True:
            more = {name for name, call in calls if self.function_of(call) in found} - found
            if not more:
                return frozenset(found)
            found |= more

    def _in_loop(self, node: ast.AST) -> bool:
        for up in self.above(node):
            if isinstance(up, Loop):
                return True
            if isinstance(up, Function):
                return False
        return False

    def is_inner(self, node: ast.AST) -> bool:
        """Whether a node is in a loop of a function that a loop calls: as often as batches are."""
        return self._in_loop(node) and self.function_of(node) in self.repeated

    def is_repeated(self, node: ast.AST) -> bool:
        """Whether a node is executed again and again, as an epoch's lines are."""
        return self._in_loop(node) or self.function_of(node) in self.repeated


def called(call: ast.Call) -> str:
    """The last name of what is called: `Adam` of `torch.optim.Adam(...)`."""
    function = call.func
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


def keyword(call: ast.Call, name: str) -> ast.expr | None:
    """What a call gives for an argument by its name."""
    return next((part.value for part in call.keywords if part.arg == name), None)


def constant(node: ast.expr | None) -> Unchecked:
    """The value of a literal; None for anything that would have to be run."""
    if node is None:
        return None
    try:
        value: Unchecked = ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return None
    return value


def texts(nodes: list[ast.expr]) -> list[str]:
    """The literal strings among the nodes."""
    return [value for node in nodes if isinstance(value := constant(node), str)]
