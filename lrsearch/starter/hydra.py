"""The keys of a Hydra configuration, which a command line assigns: `optim.lr=0.1`."""

import ast
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from lrsearch.errors import SpecError
from lrsearch.plain_data import Unchecked
from lrsearch.starter.source import Function, Source, constant, keyword
from lrsearch.user_input import plain_numbers, read_yaml


def hydra_keys(source: Source) -> Iterator[tuple[str, Unchecked]]:
    """Each key of the configuration with its value, groups included; none of a script without it.

    Where the configuration is no file, the keys are those that the script reads.
    """
    for function in source.nodes:
        if not isinstance(function, Function):
            continue
        for decorator in function.decorator_list:
            if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) in (
                "hydra.main",
                "main",
            ):
                keys = dict(_of_files(source, decorator))
                yield from (keys or dict.fromkeys(_that_are_read(function))).items()


def _of_files(source: Source, decorator: ast.Call) -> Iterator[tuple[str, Unchecked]]:
    given = [constant(keyword(decorator, name)) for name in ("config_path", "config_name")]
    folder, name = given
    if not isinstance(name, str):
        return
    root = source.path.parent / (folder if isinstance(folder, str) else ".")
    yield from _of_file(root, name)


def _of_file(root: Path, name: str, prefix: str = "") -> Iterator[tuple[str, Unchecked]]:
    path = root / f"{name.removesuffix('.yaml')}.yaml"
    try:
        content = read_yaml(path, "configuration")
    except SpecError:
        return  # a group that another package or a plugin gives
    for entry in _entries(content.pop("defaults", None)):
        for group, choice in entry.items():
            group = group.removeprefix("override ").strip()
            if isinstance(choice, str) and not group.startswith(("hydra", "/")):
                yield from _of_file(
                    root, f"{group}/{choice}", f"{prefix}{group.replace('/', '.')}."
                )
    content.pop("hydra", None)
    yield from _flat(content, prefix)


def _entries(defaults: Unchecked) -> Iterator[Mapping[str, Unchecked]]:
    if isinstance(defaults, Sequence):
        yield from (entry for entry in defaults if isinstance(entry, Mapping))


def _flat(content: Mapping[str, Unchecked], prefix: str) -> Iterator[tuple[str, Unchecked]]:
    for key, value in content.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            known = plain_numbers(value)
            # `${...}` is worked out by Hydra.
            yield f"{prefix}{key}", None if isinstance(known, str) and "${" in known else known


def _that_are_read(function: Function) -> Iterator[str]:
    """`optim.lr` where the function reads `cfg.optim.lr`."""
    if not function.args.args:
        return
    name = function.args.args[0].arg
    for node in ast.walk(function):
        if isinstance(node, ast.Attribute):
            text = ast.unparse(node)
            if text.startswith(f"{name}.") and text.replace(".", "").isidentifier():
                yield text.removeprefix(f"{name}.")
