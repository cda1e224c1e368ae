"""The command line of this process as a user typed it, without what is secret in it."""

import os
import re
import shlex
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

#: The line of the command that started a worker process, in that process's environment.
STARTED_BY = "LRSEARCH_STARTED_BY"
#: In place of a secret.
HIDDEN = "***"
#: A word of the program's own name: `lrsearch`, or `python -m lrsearch`.
_OURS = ("lrsearch", "lrsearch.exe", "__main__.py")
#: More than this of a line is not kept: characters.
MOST_CHARACTERS = 2000
_SECRET = r"(?:pass(?:word|wd)?|pwd|secret|token|api[-_]?key|credentials?)"
_USER_INFO = re.compile(r"(?P<start>[a-zA-Z][\w+.-]*://[^\s:/@]*):[^\s/]*@")
_ASSIGNED = re.compile(rf"(?P<start>[\w.-]*{_SECRET}[\w.-]*=)[^\s&;]+", re.IGNORECASE)
_OPTION = re.compile(rf"--?[\w.-]*{_SECRET}[\w.-]*", re.IGNORECASE)


def masked(words: Iterable[str]) -> list[str]:
    """The words with `***` for passwords of URLs and values of options that are called secret."""
    found: list[str] = []
    for word in words:
        if found and _OPTION.fullmatch(found[-1]) and not word.startswith("-"):
            found.append(HIDDEN)
            continue
        shown = _USER_INFO.sub(rf"\g<start>:{HIDDEN}@", word)
        found.append(_ASSIGNED.sub(rf"\g<start>{HIDDEN}", shown))
    return found


def command_line(
    words: Sequence[str] | None = None, environment: Mapping[str, str] = os.environ
) -> str:
    """The line that started this process, or the command that started it as a worker.

    `words` are those of `sys.argv` unless given.
    """
    started_by = environment.get(STARTED_BY)
    if started_by:
        return started_by
    first, *rest = sys.argv if words is None else words
    program = ["lrsearch"] if Path(first).name in _OURS else ["python", first or "-"]
    return shlex.join([*program, *masked(rest)])[:MOST_CHARACTERS]
