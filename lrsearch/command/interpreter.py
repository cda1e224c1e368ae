"""Which Python a command runs in, where that is not lrsearch's own."""

import re
import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path, PurePath

#: `python`, `python3`, `python3.12`; what stands before it, as `stdbuf -oL`, is another program.
_NAME = re.compile(r"python(3(\.\d+)?)?")
_ASK = ("-I", "-S", "-c", "import sys; print(sys.executable)")
#: An interpreter that does not say so fast what it is, is left unnamed.
_ASK_SECONDS = 10.0
_MISSING = re.compile(
    r"ModuleNotFoundError: No module named '(?P<name>[^'.]+)|: No module named (?P<run>\w+)"
)


def other_python(argv: Sequence[str]) -> tuple[str, str] | None:
    """The word of a command that starts another Python than lrsearch's own, and its path.

    None where the command starts none, starts lrsearch's own, or starts what cannot be asked.
    """
    word = next((word for word in argv if _NAME.fullmatch(PurePath(word).name)), None)
    if word is None:
        return None
    try:
        asked = subprocess.run(
            [word, *_ASK], capture_output=True, text=True, timeout=_ASK_SECONDS, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None  # what is wrong with it is said when the command is run
    path = asked.stdout.strip()
    return None if not path or _is_own(path) else (word, path)


def _is_own(path: str) -> bool:
    """Whether it has lrsearch's packages: a virtual environment's Python is a link of another."""
    own, other = Path(sys.executable), Path(path)
    return own.parent.resolve() == other.parent.resolve() and own.samefile(other)


def python_lines(argv: Sequence[str]) -> tuple[str, ...]:
    """The line that says which other Python a command runs in; none where it is lrsearch's own."""
    if (other := other_python(argv)) is None:
        return ()
    word, path = other
    return (f"interpreter: {word} is {path}; lrsearch itself runs in {sys.executable}",)


def missing_module(line: str, argv: Sequence[str]) -> str:
    """What to do where the last line of an output says that a module is missing.

    Empty where it does not, where the command runs in lrsearch's own interpreter, or where that
    does not have the module either.
    """
    found = _MISSING.search(line)
    if found is None or (other := other_python(argv)) is None:
        return ""
    name = found["name"] or found["run"]
    if find_spec(name) is None:
        return ""
    word, path = other
    return (
        f"; {word} is {path}, and lrsearch runs in {sys.executable}, which has {name}: "
        f"write {sys.executable} in place of {word}"
    )
