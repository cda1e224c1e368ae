"""What the supervisor imports once, so that its forks need not.

Forking is safe only in a process of one thread that has no driver of an accelerator open: a lock
that another thread holds stays locked in the fork, and CUDA works in no fork. Importing torch opens
neither: its threads start with the first operation, CUDA with the first use of a device. The
threads that OpenBLAS starts while numpy is imported end before each fork, by OpenBLAS's own
handler. Nothing but imports is ever done here, and both conditions are looked at before forks are
offered; where they do not hold, children are new interpreters.
"""

import ast
import gc
import importlib.util
import os
import pkgutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from lrsearch.child_process.linux import LINUX, threads

#: Libraries whose import starts no thread that outlives a fork and opens no device, as
#: `tests/child_process/test_warm.py` tries; what a script imports of them is imported beforehand.
LIBRARIES = frozenset(
    {
        "accelerate", "datasets", "lightning", "numpy", "pandas", "pytorch_lightning", "sklearn",
        "timm", "torch", "torchdata", "torchmetrics", "torchvision", "transformers",
    }
)  # fmt: skip
#: Beginnings of variables that an interpreter or a library reads as it starts, before a fork could
#: set them; but for two that a fork follows.
READ_AT_START = (
    "PYTHON", "OMP_", "GOMP_", "KMP_", "MKL_", "OPENBLAS_", "LD_", "DYLD_", "MALLOC_", "GLIBC_",
    "LC_", "LANG", "TORCH", "PYTORCH_", "HF_", "TRANSFORMERS_", "TQDM_", "TZ",
)  # fmt: skip
FOLLOWED = ("PYTHONPATH", "PYTHONUNBUFFERED")
#: Makes `torch.cuda.is_available` ask the driver's library in place of CUDA, which a fork could
#: not use afterwards.
ASK_NVML = "PYTORCH_NVML_BASED_CUDA_CHECK"
#: torch, and what it imports when the first optimizer is made, which takes as long again.
FIRST_USES = ("torch", "torch._dynamo")


def _environment_at_start() -> dict[str, str]:
    """What this process was given; Python itself may have set LC_CTYPE since."""
    if not LINUX:
        return dict(os.environ)
    lines = Path("/proc/self/environ").read_bytes().split(b"\0")
    pairs = (os.fsdecode(line).partition("=") for line in lines if line)
    return {name: value for name, _, value in pairs}


_AT_START = _environment_at_start()


def warm_modules(source: Path) -> list[str]:
    """What to import before a script is forked: `FIRST_USES`, and what it imports of `LIBRARIES`.

    Names as `pkgutil.resolve_name` takes them: `transformers:Trainer` where a name is taken out of
    a library, since some load their parts on first use. A library whose name a module beside the
    script or in this folder has, is left out: the script means that one. Raises OSError for a
    file that cannot be read. One that is no Python has `FIRST_USES` alone, and fails when it runs.
    """
    try:
        tree = ast.parse(source.read_bytes())
    except (SyntaxError, ValueError):
        return list(FIRST_USES)
    names = [
        name
        for name in _imported(tree.body)
        if (library := name.split(":")[0].split(".")[0]) in LIBRARIES
        and not any(_holds(folder, library) for folder in (source.parent, Path.cwd()))
    ]
    return list(dict.fromkeys([*FIRST_USES, *names]))


def _imported(statements: Sequence[ast.stmt]) -> Iterator[str]:
    """What is imported when the file is: at its top, not inside functions."""
    for node in statements:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None and node.level == 0:
            yield from (
                node.module if alias.name == "*" else f"{node.module}:{alias.name}"
                for alias in node.names
            )
        elif isinstance(node, ast.Try | ast.If | ast.With):
            yield from _imported(node.body)


def _holds(folder: Path, name: str) -> bool:
    return (folder / f"{name}.py").exists() or (folder / name).is_dir()


def import_before_forks(names: Sequence[str]) -> str | None:
    """Import them. Why no fork may follow, in a few words; None if forks may.

    A library that is not installed is passed over: the script will say so itself.
    """
    if not LINUX:
        return f"{sys.platform} has no safe fork"
    os.environ[ASK_NVML] = "1"
    gc.disable()  # to look for garbage meanwhile takes a sixth of the time
    try:
        for name in names:
            if importlib.util.find_spec(name.split(":")[0].split(".")[0]) is not None:
                pkgutil.resolve_name(name)
    except Exception as error:  # half a library is worse than none: each child imports its own
        return f"importing {name} failed: {type(error).__name__}: {error}"
    finally:
        del os.environ[ASK_NVML]
        gc.enable()
    # What is imported by now is no garbage: no child need look for any in it, which took as long as
    # its end. Thus what a library keeps in its own globals is not taken down either, as a new
    # interpreter would; its atexit handlers run.
    gc.freeze()
    return why_not_fork()


def why_not_fork() -> str | None:
    """Why a fork of this process would not be sound; None if it is."""
    pid = os.fork()  # handlers of libraries end their threads; this child does nothing
    if pid == 0:
        os._exit(int(_cuda_is_lost()))
    lost = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if (count := threads()) > 1:
        return f"what was imported runs {count - 1} threads"
    return "what was imported has opened CUDA" if lost else None


def _cuda_is_lost() -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and torch.cuda._is_in_bad_fork()


def why_not_with(env: Mapping[str, str]) -> str | None:
    """Why a fork cannot have this environment; None if it can."""
    for name in sorted({*env, *_AT_START}):
        same = env.get(name) == _AT_START.get(name)
        if name.startswith(READ_AT_START) and name not in FOLLOWED and not same:
            return f"{name} is read when an interpreter starts, and differs from the worker's"
    return None


def set_by_imports() -> dict[str, str]:
    """Environment variables that the imported libraries have set."""
    return {name: value for name, value in os.environ.items() if _AT_START.get(name) != value}
