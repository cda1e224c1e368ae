"""Lines of a user's script that write a learning rate, step a scheduler, or seed torch."""

import ast
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch
from torch.optim.lr_scheduler import LRScheduler

from lrsearch.own_loop.frames import is_users_file, users_frames, variables

#: Functions that seed torch: its own, and those of Lightning, transformers and accelerate.
SEEDERS = ("manual_seed", "seed_everything", "set_seed")


def lr_writes() -> str:
    """`train.py:17, train.py:40`: where the running code writes `group["lr"]`; empty if not."""
    return _places(_found(_writes_lr))


def _writes_lr(node: ast.AST) -> bool:
    if isinstance(node, ast.Assign):
        targets = node.targets
    elif isinstance(node, ast.AugAssign):
        targets = [node.target]
    else:
        return False
    return any(
        isinstance(target, ast.Subscript)
        and isinstance(target.slice, ast.Constant)
        and target.slice.value == "lr"
        for target in targets
    )


def scheduler_steps(optimizer: torch.optim.Optimizer, ours: object) -> str:
    """Where the running code steps a scheduler of its own over this optimizer; empty if not."""
    names = {
        name
        for frame in users_frames()
        for name, value in variables(frame)
        if isinstance(value, LRScheduler) and value.optimizer is optimizer and value is not ours
    }

    def steps(node: ast.AST) -> bool:
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            return False
        owner = ast.unparse(node.func.value)
        return node.func.attr == "step" and owner.rpartition(".")[2] in names

    return _places(_found(steps)) if names else ""


def seed_calls() -> tuple[str, bool]:
    """Where the running code seeds torch, and whether any of these calls has `run.seed`."""
    nodes = _found(_is_seeding)
    return _places(nodes), any(".seed" in ast.unparse(node) for _, node in nodes)


def _is_seeding(node: ast.AST) -> bool:
    if not isinstance(node, ast.Call):
        return False
    name = ast.unparse(node.func).rpartition(".")[2]
    return name in SEEDERS and bool(node.args or node.keywords)


def _found(wanted: Callable[[ast.AST], bool]) -> list[tuple[Path, ast.stmt | ast.expr]]:
    """Such nodes in the first of the script's files that has any."""
    for path in _files():
        if found := [(path, node) for node in _nodes(path) if wanted(node)]:
            return found
    return []


def _places(found: Sequence[tuple[Path, ast.stmt | ast.expr]]) -> str:
    """`train.py:17, train.py:40`, three at most; empty for none."""
    return ", ".join(list(dict.fromkeys(f"{path.name}:{n.lineno}" for path, n in found))[:3])


def _files() -> list[Path]:
    """Those of the running code, the innermost first, then modules that lie beside them."""
    running = list(dict.fromkeys(Path(f.f_code.co_filename) for f in users_frames()))
    loaded = [getattr(module, "__file__", None) for module in list(sys.modules.values())]
    folders = {path.parent for path in running}
    beside = [Path(file) for file in loaded if file and not folders.isdisjoint(Path(file).parents)]
    return list(dict.fromkeys([*running, *(path for path in beside if is_users_file(str(path)))]))


def _nodes(path: Path) -> Iterator[ast.stmt | ast.expr]:
    """Those of a file, in the order of its lines; none where the text cannot be had."""
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError):  # a hint may go without its line
        return
    nodes = [node for node in ast.walk(tree) if isinstance(node, ast.stmt | ast.expr)]
    yield from sorted(nodes, key=lambda node: node.lineno)
