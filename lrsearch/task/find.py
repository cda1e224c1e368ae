"""Finding the user's code that defines a task, and hashing it.

The database holds a task's reference and the SHA-256 of its code, never the code itself.
"""

import importlib.util
import inspect
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.machinery import PathFinder
from pathlib import Path

from lrsearch.errors import TaskError, near_miss
from lrsearch.task import own_code
from lrsearch.task.code import code_hash, import_file, names_us, task_code
from lrsearch.task.task import LoadedTask, Task


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
        raise TaskError(
            f"task = {reference!r} leads elsewhere; put the task's file beside the study file"
        )
    if not is_file and place.partition(".")[0] in {"lrsearch", *sys.stdlib_module_names}:
        raise TaskError(
            f"task = {reference!r} is a module of lrsearch or of Python; name a module of your own"
        )
    return place, attribute


def source_of(place: str, folder: Path) -> tuple[Path, Path] | None:
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


def load_task(reference: str, folder: Path, own: Sequence[str] = ()) -> LoadedTask:
    """Import the task that `reference` names, files relative to `folder`, and what `own` names.

    Raises TaskError, or SpecError where something of `own` is not there.
    """
    place, attribute = _split(reference)
    found = source_of(place, folder)
    if found is None:
        what = f"{folder / place} does not exist" if place.endswith(".py") else "no such module"
        raise TaskError(f"task = {reference!r}: {what}")
    path, root = found
    if own and place.endswith(".py"):
        module = own_code.imported(path, root)
    else:
        module = import_file(path, root, None if place.endswith(".py") else place)
    if not hasattr(module, attribute):
        public = [name for name in vars(module) if not name.startswith("_")]
        raise TaskError(f"{path.name} has no attribute {attribute!r}{near_miss(attribute, public)}")
    target = getattr(module, attribute)
    if not isinstance(target, Task) and not callable(target):
        raise TaskError(
            f"{reference} is {type(target).__name__}, but a Task or a function that returns one "
            f"is needed"
        )
    code = _study_code(path, root, own, folder)
    own_code.load(own, folder)
    return LoadedTask(reference=reference, source=path, target=target, code=code)


def _study_code(path: Path, root: Path, own: Sequence[str], folder: Path) -> dict[str, str]:
    """SHA-256 of the files of a task and of the study's own optimizers and schedules."""
    return dict(sorted({**own_code.own_hashes(own, folder, root), **task_code(path, root)}.items()))


def find_task(
    reference: str,
    code: Mapping[str, str],
    folders: Iterable[Path],
    *,
    strict: bool,
    own: Sequence[str] = (),
) -> LoadedTask:
    """The first task in `folders` whose code has the hashes that the study recorded.

    The files of the optimizers and schedules that `own` names lie in the same folder and belong to
    that code; they are loaded, too. With `strict` false the first one that is there is taken.
    Raises TaskError that lists every place looked at and the hash found in it.
    """
    found = locate_task(reference, code, folders, strict=strict, own=own)
    return _made_for_us(reference, found.folder, own, [found.root / name for name in found.code])


@dataclass(frozen=True, kw_only=True)
class Located:
    """Where a task's files are; nothing of them is imported."""

    #: What the reference, and files of own optimizers and schedules, are relative to.
    folder: Path
    #: What the names of the task's files are relative to.
    root: Path
    #: File to SHA-256; a name that begins with `./` is relative to `folder`.
    code: Mapping[str, str]


def locate_task(
    reference: str,
    code: Mapping[str, str],
    folders: Iterable[Path],
    *,
    strict: bool,
    own: Sequence[str] = (),
) -> Located:
    """Where `find_task` finds a task. Raises TaskError as it does."""
    place, _ = _split(reference)
    if not isinstance(code, Mapping):
        raise TaskError(f"the study does not say which code {reference} has; create it anew")
    wanted = code_hash(code)
    seen = []
    for folder in folders if place.endswith(".py") or own else [Path()]:
        found = source_of(place, folder)
        missing = [] if found else [folder / place]
        missing += [path for path in own_code.files(own, folder) if not path.is_file()]
        if found is None or missing:
            seen.append(f"{missing[0]}: not there")
            continue
        if not place.endswith(".py") and not names_us(found[0], found[1]):
            raise _foreign(reference)
        found_code = _study_code(*found, own, folder)
        hashed = code_hash(found_code)
        if hashed == wanted or not strict:
            return Located(folder=folder, root=found[1], code=found_code)
        seen.append(f"{found[0]}: {hashed[:12]}")
    raise TaskError(
        f"no task {reference} with the study's code {wanted[:12]} ({'; '.join(seen)}); bring the "
        f"study's files here and name their folder with --task-dir"
    )


def _made_for_us(
    reference: str, folder: Path, own: Sequence[str], files: Sequence[Path]
) -> LoadedTask:
    """The task, whose own `files` these are. Raises TaskError unless it was written as one.

    References come from a database, whose writers could name any function that is here, and its
    arguments with it. So a module that nothing ties to lrsearch is not even imported, and what a
    task's file has imported from elsewhere is not called.
    """
    loaded = load_task(reference, folder, own)
    if isinstance(loaded.target, Task):
        return loaded
    made = loaded.target.func if isinstance(loaded.target, partial) else loaded.target
    made = inspect.unwrap(made if inspect.isroutine(made) or inspect.isclass(made) else type(made))
    try:
        file = Path(inspect.getsourcefile(made) or "").resolve()
    except TypeError:  # one of Python's own
        raise _foreign(reference) from None
    if file not in files and not (file.is_file() and names_us(file)):
        raise _foreign(reference)
    return loaded


def _foreign(reference: str) -> TaskError:
    return TaskError(f"task = {reference!r} is not run: its code does not use lrsearch")
