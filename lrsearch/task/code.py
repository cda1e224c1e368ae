"""Files of the user's code: importing one, and hashing it with the local modules it imports.

A database holds the SHA-256 of files, never the files themselves.
"""

import ast
import hashlib
import importlib
import importlib.util
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType

from lrsearch.errors import TaskError, describe

#: Names the folder of a `train` script to its process.
ENVIRONMENT_DIR = "LRSEARCH_SCRIPT_DIR"
#: Begins the names of modules that are files of the user's.
FILE_MODULES = "lrsearch_task_"


def code_hash(code: Mapping[str, str]) -> str:
    """One SHA-256 over all files of a task."""
    return hashlib.sha256(json.dumps(dict(code), sort_keys=True).encode()).hexdigest()


def import_file(path: Path, root: Path, name: str | None) -> ModuleType:
    try:
        if name is not None:
            return importlib.import_module(name)
        if str(root) not in sys.path:
            sys.path.insert(0, str(root))  # modules beside the task file
        spec = importlib.util.spec_from_file_location(f"{FILE_MODULES}{path.stem}", path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # a script may parse its own arguments, and exit
        raise TaskError(f"{path.name}: importing the task raised {describe(error)}") from error
    return module


class TaskFiles:
    """Stands in a pickle before objects of the user's files, which another process has to import.

    A DataLoader's workers are such processes where they are started anew rather than forked.
    """

    def __reduce__(self) -> tuple[Callable[..., "TaskFiles"], tuple[list[str]]]:
        modules = (m for name, m in sys.modules.items() if name.startswith(FILE_MODULES))
        return _import_files, ([module.__file__ for module in modules if module.__file__],)


def _import_files(files: Sequence[str]) -> TaskFiles:
    for file in map(Path, files):
        if f"{FILE_MODULES}{file.stem}" not in sys.modules:
            import_file(file, file.parent, None)
    return TaskFiles()


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
        waiting += _local_imports(parsed(source, name), file, root)
    return dict(sorted(hashes.items()))


def parsed(source: bytes, name: str) -> ast.AST:
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


def names_us(file: Path, root: Path | None = None) -> bool:
    """Whether a file, or one below `root` that it imports itself, has anything to do with us."""
    source = file.read_bytes()
    if b"lrsearch" in source or root is None:
        return b"lrsearch" in source
    return any(map(names_us, _local_imports(parsed(source, file.name), file, root)))
