"""How large the modules and functions of a package are, and how loosely its values are typed.

`python tests/structure/sizes.py FOLDER...` prints a table of each folder's packages.
"""

import ast
import io
import sys
import tokenize
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

#: Migrations are written once and never edited; they are not counted.
MIGRATIONS = ("storage", "migrations")
#: Names that say nothing about a value.
LOOSE_NAMES = ("Any", "Row")


@dataclass(frozen=True, kw_only=True)
class Size:
    """What is counted in one module."""

    lines: int
    #: Words `Any` and `Row`, and annotations that name `object`.
    loose: int
    #: Subscripts, and calls of `.get`, by a literal string.
    by_string: int
    #: Name and first line of each function to its lines, without decorators.
    functions: dict[str, int] = field(default_factory=dict)


def measure(text: str) -> Size:
    """The size of a module with this text."""
    nodes = list(ast.walk(ast.parse(text)))
    annotations = [found for node in nodes if (found := _annotation(node)) is not None]
    quoted = [name for annotation in annotations for name in _quoted_names(annotation)]
    words = [*_names(text), *quoted]
    objects = [*_plain_names(annotations), *quoted].count("object")
    return Size(
        lines=len(text.splitlines()),
        loose=sum(words.count(name) for name in LOOSE_NAMES) + objects,
        by_string=sum(map(_is_by_string, nodes)),
        functions={
            f"{node.name}:{node.lineno}": (node.end_lineno or node.lineno) - node.lineno + 1
            for node in nodes
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        },
    )


def _names(text: str) -> Iterator[str]:
    """Each name in the code, comments and strings left out."""
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.NAME:
            yield token.string


def _annotation(node: ast.AST) -> ast.expr | None:
    """What a parameter, a variable or a result is annotated with."""
    if isinstance(node, ast.arg | ast.AnnAssign):
        return node.annotation
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return node.returns
    return None


def _plain_names(annotations: list[ast.expr]) -> list[str]:
    parts = [part for annotation in annotations for part in ast.walk(annotation)]
    return [part.id for part in parts if isinstance(part, ast.Name)]


def _quoted_names(annotation: ast.expr) -> list[str]:
    """Names inside the quotes of an annotation."""
    texts = [
        part.value
        for part in ast.walk(annotation)
        if isinstance(part, ast.Constant) and isinstance(part.value, str)
    ]
    if isinstance(annotation, ast.Subscript) and ast.unparse(annotation.value) == "Literal":
        return []
    return [name for text in texts for name in _names(text)]


def _is_by_string(node: ast.AST) -> bool:
    if isinstance(node, ast.Subscript):
        key: ast.expr | None = None if ast.unparse(node.value) == "Literal" else node.slice
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args:
        key = node.args[0] if node.func.attr == "get" else None
    else:
        key = None
    return isinstance(key, ast.Constant) and isinstance(key.value, str)


def modules(package: Path) -> dict[str, Size]:
    """Each module of a package, by its path within; migrations are left out."""
    return {name: measure((package / name).read_text(encoding="utf-8")) for name in names(package)}


def names(package: Path) -> list[str]:
    """Paths of the modules within a package; migrations are left out."""
    paths = [path.relative_to(package) for path in sorted(package.rglob("*.py"))]
    return [str(path) for path in paths if path.parts[: len(MIGRATIONS)] != MIGRATIONS]


def per_thousand(count: int, lines: int) -> float:
    """`count` for each thousand of `lines`."""
    return 1000 * count / lines if lines else 0.0


def table(package: Path) -> str:
    """A line for each folder in `package`, and one for all."""
    groups: dict[str, list[Size]] = defaultdict(list)
    for name, size in modules(package).items():
        folder, _, rest = name.partition("/")
        groups[folder if rest else "(top)"].append(size)
    groups["all"] = [size for sizes in groups.values() for size in sizes]
    heads = ("modules", "lines", "longest", "function", "Any", "[str]")
    lines = [f"{'':14}" + "".join(f"{head:>9}" for head in heads)]
    return "\n".join([*lines, *(_line(name, sizes) for name, sizes in groups.items())])


def _line(name: str, sizes: list[Size]) -> str:
    lines = sum(size.lines for size in sizes)
    functions = [count for size in sizes for count in size.functions.values()]
    longest = max(size.lines for size in sizes)
    loose = per_thousand(sum(size.loose for size in sizes), lines)
    by_string = per_thousand(sum(size.by_string for size in sizes), lines)
    counts = f"{len(sizes):9}{lines:9}{longest:9}{max(functions, default=0):9}"
    return f"{name:14}{counts}{loose:9.1f}{by_string:9.1f}"


if __name__ == "__main__":
    for folder in sys.argv[1:]:
        print(f"{folder}\n{table(Path(folder))}\n")
