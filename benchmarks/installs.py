"""An install of lrsearch that a benchmark runs: a checkout, a virtual environment or its Python."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


class CommandError(Exception):
    """A command of an install that failed, or an install that there is not."""


@dataclass(frozen=True, kw_only=True)
class Install:
    """Where lrsearch is imported from."""

    python: str
    #: Variables of its processes, all of them.
    environment: Mapping[str, str]
    #: The folder of the package.
    package: Path


def find_install(where: Path, folder: Path) -> Install:
    """The install at `where`, asked from `folder`.

    `where` is a checkout (run with this Python), a virtual environment, or its interpreter. Raises
    CommandError if lrsearch cannot be imported from there.
    """
    python, checkout = _found(where)
    environment = _environment(checkout)
    code = "import lrsearch; print(lrsearch.__file__)"
    package = Path(_output([python, "-c", code], environment, folder).strip()).resolve().parent
    if checkout is not None and package.parent != checkout:
        raise CommandError(f"{where}: lrsearch is imported from {package}")
    return Install(python=python, environment=environment, package=package)


def last_line(text: str) -> str:
    return (text.strip().splitlines() or ["it said nothing"])[-1]


def _output(command: Sequence[str], environment: Mapping[str, str], folder: Path) -> str:
    ended = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    if ended.returncode:
        raise CommandError(f"{command[0]}: {last_line(ended.stderr)}")
    return ended.stdout


def _found(where: Path) -> tuple[str, Path | None]:
    """An interpreter, and the checkout that it is to import from, if it is one."""
    if where.is_file():
        return str(where.absolute()), None  # not resolved: a link leads out of its environment
    if (where / "lrsearch" / "__init__.py").is_file():
        return sys.executable, where.resolve()
    if (where / "bin" / "python").is_file():
        return str((where / "bin" / "python").absolute()), None
    raise CommandError(f"{where} is no checkout, virtual environment or interpreter")


def _environment(checkout: Path | None) -> dict[str, str]:
    """This one's, without what could lead a command elsewhere."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("LRSEARCH_", "PYTHONPATH"))}
    found = {**kept, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    return found if checkout is None else {**found, "PYTHONPATH": str(checkout)}
