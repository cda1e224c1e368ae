"""Finding a training script of the user's own, and hashing it; it is not imported here."""

import ast
from collections.abc import Iterable, Mapping
from pathlib import Path

from lrsearch.errors import TaskError, near_miss
from lrsearch.task.code import code_hash, names_us, parsed, task_code
from lrsearch.task.find import source_of
from lrsearch.task.task import LoadedCode


def split_script(reference: str) -> tuple[str, str | None]:
    """The file and the function of `FILE.py:function`; no function for `FILE.py`.

    Raises TaskError unless the file lies below a folder.
    """
    place, colon, function = reference.rpartition(":")
    if not colon:
        place = reference
    named = not colon or function.isidentifier()
    if not place.endswith(".py") or "\0" in place or not named:
        raise TaskError(
            f"train = {reference!r}, but FILE.py:function, or FILE.py for a whole script, is "
            f"accepted"
        )
    if Path(place).is_absolute() or ".." in Path(place).parts:
        raise TaskError(
            f"train = {reference!r} leads elsewhere; put the script beside the study file"
        )
    return place, function if colon else None


def load_script(reference: str, folder: Path) -> LoadedCode:
    """The script that `reference` names, relative to `folder`. Raises TaskError."""
    place, function = split_script(reference)
    found = source_of(place, folder)
    if found is None:
        raise TaskError(f"train = {reference!r}: {folder / place} does not exist")
    path, root = found
    tree = parsed(path.read_bytes(), path.name)
    named = [node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    if function is not None and named and function.encode() not in path.read_bytes():
        raise TaskError(
            f"train = {reference!r}: {path.name} has no {function!r}{near_miss(function, named)}"
        )
    if not names_us(path, root) and not _takes_run(tree, function):
        raise TaskError(
            f"train = {reference!r}: {path.name} does not use lrsearch; give it a function "
            f"train(run), or `from lrsearch import run`, or name it as command: to run it as it is"
        )
    return LoadedCode(reference=reference, source=path, code=task_code(path, root))


def _takes_run(tree: ast.AST, function: str | None) -> bool:
    """Whether the function was written for us, though the file does not name lrsearch.

    References come from a database, whose writers could name any function that is here.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.name == function:
            return [argument.arg for argument in node.args.args[:1]] == ["run"]
    return False


def find_script(
    reference: str, code: Mapping[str, str], folders: Iterable[Path], *, strict: bool
) -> LoadedCode:
    """The first script in `folders` whose code has the hashes that the study recorded.

    With `strict` false the first one that is there is taken. Raises TaskError that lists every
    place looked at and the hash found in it.
    """
    place, _ = split_script(reference)
    wanted, seen = code_hash(code), []
    for folder in folders:
        if source_of(place, folder) is None:
            seen.append(f"{folder / place}: not there")
            continue
        loaded = load_script(reference, folder)
        hashed = code_hash(loaded.code)
        if hashed == wanted or not strict:
            return loaded
        seen.append(f"{loaded.source}: {hashed[:12]}")
    raise TaskError(
        f"no script {reference} with the study's code {wanted[:12]} ({'; '.join(seen)}); bring the "
        f"study's files here and name their folder with --task-dir"
    )


def script_folder(loaded: LoadedCode) -> Path:
    """The folder that the reference is relative to."""
    place, _ = split_script(loaded.reference)
    return loaded.source.parents[len(Path(place).parts) - 1]
