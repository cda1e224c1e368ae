"""Optimizers and schedules that a study defines in files beside it: `my_task.py:MyOptimizer`.

A name in a recipe runs nothing, wherever it comes from. `load` alone imports files: of a study file
that the user has named, or on a worker once the files have the hashes that the study recorded. Even
then a file is imported only if it defines what the name says itself, as a class with a base or as a
function of `progress`.
"""

import ast
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import FunctionType, ModuleType
from typing import TypeGuard

from lrsearch.errors import SpecError, TaskError, near_miss
from lrsearch.plain_data import Fields, Unchecked
from lrsearch.task.code import code_hash, import_file, parsed, task_code

#: What is loaded in this process by its name; the latest stands.
_LOADED: dict[str, type | FunctionType] = {}
#: The modules with the hash that their code had when it was run.
_MODULES: dict[Path, tuple[str, ModuleType]] = {}


def is_own(name: Unchecked) -> TypeGuard[str]:
    """Whether a name is written `FILE.py:attribute`."""
    return isinstance(name, str) and ".py:" in name


def own_names(content: Fields) -> list[str]:
    """Every such name of an optimizer or a schedule in the fields of a study or of a recipe."""
    places = ("space", "baseline", "enqueue", "optimizer", "schedule")
    found = (name for place in places for name in _words(content.get(place)) if is_own(name))
    return list(dict.fromkeys(found))


def _words(value: Unchecked) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _words(key)
            if key != "params":  # the task's own
                yield from _words(inner)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _words(item)


def split(name: str) -> tuple[str, str]:
    """File and attribute. Raises SpecError unless the file can lie beside a study file."""
    file, _, attribute = name.partition(":")
    if not file.removesuffix(".py").isidentifier() or not attribute.isidentifier():
        raise SpecError(
            "FILE.py:attribute is accepted, a file beside the study file, named as modules are "
            "(letters, digits, _), for export imports it"
        )
    return file, attribute


def loaded(name: str) -> type | FunctionType | None:
    """What the name stands for in this process; None where its file was not loaded."""
    return _LOADED.get(name)


def files(names: Iterable[str], folder: Path) -> list[Path]:
    """The files of these names, each once, whether there or not."""
    return list(dict.fromkeys((folder / split(name)[0]).resolve() for name in names))


def own_hashes(names: Iterable[str], folder: Path, root: Path) -> dict[str, str]:
    """SHA-256 of the files of these names and of the local modules that they import.

    Names of files are relative to the folder, and begin with `./` where that is not the task's
    `root`.
    """
    prefix = "" if folder.resolve() == root else "./"
    hashes: dict[str, str] = {}
    for path in files(names, folder):
        if not path.is_file():
            raise SpecError(f"{path} does not exist; put it beside the study file")
        hashes |= {prefix + name: sha for name, sha in task_code(path, path.parent).items()}
    return hashes


def load(names: Iterable[str], folder: Path, where: str = "") -> None:
    """Import what these names stand for from files in `folder`.

    Raises SpecError, one line that begins with `where`.
    """
    for name in names:
        try:
            _LOADED[name] = _load(name, folder)
        except (SpecError, TaskError) as error:
            raise SpecError(f"{where}{name}: {error}") from error


def _load(name: str, folder: Path) -> type | FunctionType:
    file, attribute = split(name)
    path = (folder / file).resolve()
    if not path.is_file():
        raise SpecError(f"{path} does not exist; put it beside the study file")
    _check_defined(path, attribute)
    found = getattr(imported(path, path.parent), attribute, None)
    if not isinstance(found, type | FunctionType):
        raise SpecError(f"it is {type(found).__name__}, but a class or function is needed")
    return found


def load_recorded(names: Sequence[str], code: Mapping[str, str], folders: Iterable[Path]) -> None:
    """Import them from the first folder that has the files with the hashes that `code` records.

    Nothing happens where no folder has: what only reads a study does without.
    """
    for folder in folders if names else ():
        if all(path.is_file() for path in files(names, folder)):
            hashes = own_hashes(names, folder, folder.resolve())
            if all(sha in (code.get(name), code.get(f"./{name}")) for name, sha in hashes.items()):
                load(names, folder)
                return


def imported(path: Path, root: Path) -> ModuleType:
    """The module of a file, run once in this process as long as its code is the same."""
    hashed = code_hash(task_code(path, root))
    known = _MODULES.get(path)
    if known is None or known[0] != hashed:
        known = _MODULES[path] = hashed, import_file(path, root, None)
    return known[1]


def _check_defined(path: Path, attribute: str) -> None:
    """Raises SpecError unless the file's own text defines an optimizer or a schedule so called."""
    body = parsed(path.read_bytes(), path.name)
    defined = {
        node.name: node
        for node in ast.iter_child_nodes(body)
        if isinstance(node, ast.ClassDef | ast.FunctionDef)
    }
    node = defined.get(attribute)
    if node is None:
        hint = near_miss(attribute, defined) if defined else ""
        raise SpecError(f"{path.name} defines no {attribute} at its top level{hint}")
    if isinstance(node, ast.ClassDef):
        if not node.bases:
            raise SpecError("it has no base class; derive it from torch.optim.Optimizer")
        return
    arguments = [*node.args.posonlyargs, *node.args.args]
    if not arguments or arguments[0].arg != "progress":
        raise SpecError(
            f"it is no function of progress; a schedule is `def {attribute}(progress, ...)`, "
            f"which gives a factor of lr for progress from 0 to 1"
        )
