"""Paths in the output that a terminal opens."""

import os
import sys
from pathlib import Path


def linked(text: str, path: Path) -> str:
    """The text; where stdout is a terminal, each `path` in it is a hyperlink to that file (OSC 8).

    `path` is absolute, as in the text. A terminal without hyperlinks shows the text alone.
    """
    if not sys.stdout.isatty() or os.environ.get("TERM", "dumb") == "dumb":
        return text
    return text.replace(f"{path}", f"\x1b]8;;{path.as_uri()}\x1b\\{path}\x1b]8;;\x1b\\")
