"""Finding the user's code that defines a task, and hashing it."""

import ast
import hashlib
import importlib
import importlib.util
import inspect
import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from importlib.machinery import PathFinder
from pathlib import Path
from types import ModuleType

from lrsearch.errors import TaskError, describe, near_miss
from lrsearch.task.task import LoadedTask, Task


def code_hash(code: Mapping[str, str]) -> str:
    """One SHA-256 over all files of a task."""
    return hashlib.sha256(json.dumps(dict(code), sort_keys=True).encode()).hexdigest()


def _split(reference: str) -> tuple[str, str]:
    """Place and attribute. Raises TaskError unless it is a file below a folder, or a module."""
    place, colon, attribute = reference.rpartition(":")
    is_file = place.endswith(".py")
    dotted = attribute if is_file else f"{place}.{attribute}"
    if not colon or "\0" in place or not all(part.isidentifier() for part in dotted.split(".")):
        raise TaskError(
            f"task = {reference!r}, but FILE.py:attribute or package.module:attribute is accepted"
        )
    if is_file and (Path(place).is_absolute() or ".." in Path(place).parts):
        raise TaskError(f"task = {reference!r} leads elsewhere; a task is beside its study's file")
    if not is_file and place.partition(".")[0] in {"lrsearch", *sys.stdlib_module_names}:
        raise TaskError(f"task = {reference!r} is no module of yours")
    return place, attribute


def _source(place: str, folder: Path) -> tuple[Path, Path] | None:
    """The task's file and the folder that its local imports are resolved in, if it is there.

    Nothing is imported, the packages that a module is in neither.
    """
    if place.endswith(".py"):
        path = (folder / place).resolve()
        return (path, path.parent) if path.is_file() else None
    parts = place.split(".")
    spec = None
    for depth in range(1, len(parts) + 1):
        above = None if spec is None else spec.submodule_search_locations
        try:
            if depth == 1:
                spec = importlib.util.find_spec(parts[0])
            else:
                spec = PathFinder.find_spec(".".join(parts[:depth]), above)
        except (ImportError, ValueError):
            return None
        if spec is None or (depth < len(parts) and spec.submodule_search_locations is None):
            return None
    if spec is None or spec.origin is None or not Path(spec.origin).is_file():
        return None
    levels = len(parts) - (0 if spec.submodule_search_locations is not None else 1)
    path = Path(spec.origin).resolve()
    return path, path.parents[levels]


def load_task(reference: str, folder: Path) -> LoadedTask:
    """Import the task that `reference` names, files relative to `folder`. Raises TaskError."""
    place, attribute = _split(reference)
    found = _source(place, folder)
    if found is None:
        what = f"{folder / place} does not exist" if place.endswith(".py") else "no such module"
        raise TaskError(f"task = {reference!r}: {what}")
    path, root = found
    module = _import(path, root, None if place.endswith(".py") else place)
    if not hasattr(module, attribute):
        public = [name for name in vars(module) if not name.startswith("_")]
        raise TaskError(f"{path.name} has no attribute {attribute!r}{near_miss(attribute, public)}")
    target = getattr(module, attribute)
    if not isinstance(target, Task) and not callable(target):
        raise TaskError(
            f"{reference} is {type(target).__name__}, but a Task or a function that returns one "
            f"is needed"
        )
    code = task_code(path, root)
    return LoadedTask(reference=reference, source=path, target=target, code=code)


def _import(path: Path, root: Path, name: str | None) -> ModuleType:
    try:
        if name is not None:
            return importlib.import_module(name)
        if str(root) not in sys.path:
            sys.path.insert(0, str(root))  # modules beside the task file
        spec = importlib.util.spec_from_file_location(f"lrsearch_task_{path.stem}", path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # a script may parse its own arguments, and exit
        raise TaskError(f"{path.name}: importing the task raised {describe(error)}") from error
    return module


def task_code(path: Path, root: Path) -> dict[str, str]:
    """SHA-256 of the file and of every module under `root` that it imports, directly or not.

    Of a task in an installed package only that package: beside it lies all of torch.
    """
    hashes: dict[str, str] = {}
    installed = root.name in ("site-packages", "dist-packages")
    own = path.relative_to(root).parts[0]
    packages = path.relative_to(root).parent.parts  # importing a module runs these first
    waiting = [path, *_module_files(root, packages)]
    while waiting:
        file = waiting.pop()
        name = file.relative_to(root).as_posix()
        if name in hashes or (installed and file.relative_to(root).parts[0] != own):
            continue
        source = file.read_bytes()
        hashes[name] = hashlib.sha256(source).hexdigest()
        waiting += _local_imports(_parsed(source, name), file, root)
    return dict(sorted(hashes.items()))


def _parsed(source: bytes, name: str) -> ast.AST:
    try:
        return ast.parse(source)
    except (SyntaxError, ValueError) as error:
        raise TaskError(f"{name}: {describe(error)}") from error


def _local_imports(tree: ast.AST, file: Path, root: Path) -> Iterator[Path]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from _module_files(root, alias.name.split("."))
        elif isinstance(node, ast.ImportFrom):
            base = file.parents[node.level - 1] if node.level else root
            parts = node.module.split(".") if node.module else []
            for alias in node.names:
                yield from _module_files(base, [*parts, alias.name])


def _module_files(base: Path, parts: Sequence[str]) -> Iterator[Path]:
    for depth in range(1, len(parts) + 1):
        stem = base.joinpath(*parts[:depth])
        for file in (stem.with_name(stem.name + ".py"), stem / "__init__.py"):
            if file.is_file():
                yield file


def find_task(
    reference: str, code: Mapping[str, str], folders: Iterable[Path], *, strict: bool
) -> LoadedTask:
    """The first task in `folders` whose code has the hashes that the study recorded.

    With `strict` false the first one that is there is taken. Raises TaskError that lists every
    place looked at and the hash found in it.
    """
    place, _ = _split(reference)
    if not isinstance(code, Mapping):
        raise TaskError(f"the study does not say which code {reference} has; create it anew")
    wanted = code_hash(code)
    seen = []
    for folder in folders if place.endswith(".py") else [Path()]:
        found = _source(place, folder)
        if found is None:
            seen.append(f"{folder / place}: not there")
            continue
        if not place.endswith(".py") and not _names_us(found[0], found[1]):
            raise _foreign(reference)
        found_code = task_code(*found)
        hashed = code_hash(found_code)
        if hashed == wanted or not strict:
            return _made_for_us(reference, folder, [found[1] / name for name in found_code])
        seen.append(f"{found[0]}: {hashed[:12]}")
    raise TaskError(
        f"no task {reference} with the study's code {wanted[:12]} ({'; '.join(seen)}); bring the "
        f"study's files here and name their folder with --studies"
    )


def _made_for_us(reference: str, folder: Path, files: Sequence[Path]) -> LoadedTask:
    """The task, whose own `files` these are. Raises TaskError unless it was written as one.

    References come from a database, whose writers could name any function that is here, and its
    arguments with it. So a module that nothing ties to lrsearch is not even imported, and what a
    task's file has imported from elsewhere is not called.
    """
    loaded = load_task(reference, folder)
    if isinstance(loaded.target, Task):
        return loaded
    made = loaded.target.func if isinstance(loaded.target, partial) else loaded.target
    made = inspect.unwrap(made if inspect.isroutine(made) or inspect.isclass(made) else type(made))
    try:
        file = Path(inspect.getsourcefile(made) or "").resolve()
    except TypeError:  # one of Python's own
        raise _foreign(reference) from None
    if file not in files and not (file.is_file() and _names_us(file)):
        raise _foreign(reference)
    return loaded


def _foreign(reference: str) -> TaskError:
    return TaskError(f"task = {reference!r} is no task of lrsearch's; it is not run")


def _names_us(file: Path, root: Path | None = None) -> bool:
    """Whether a file, or one below `root` that it imports itself, has anything to do with us."""
    source = file.read_bytes()
    if b"lrsearch" in source or root is None:
        return b"lrsearch" in source
    return any(map(_names_us, _local_imports(_parsed(source, file.name), file, root)))
