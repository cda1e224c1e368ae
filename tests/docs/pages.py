"""README and docs as pages: their blocks of code, and what a hidden comment before one asks for.

Comments that readers do not see:

- `<!-- file: NAME -->`: the next block is that file.
- `<!-- setup: NAME -->`: a new folder with the study NAME in it, finished.
- `<!-- setup`, lines of Python, `-->`: run first.
- `<!-- not run: REASON -->`: the commands of the next block are only parsed.
- `<!-- sample: REASON -->`: the next block is output that the tests do not produce.
"""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

import click
from markdown_it import MarkdownIt

from lrsearch.cli import cli

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "benchmarks" / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]
COMMENT = re.compile(r"<!--\s*(file|setup|not run|sample)(?::[ ]*(.*?))?\s*(?:\n(.*?))?-->", re.S)


@dataclass(frozen=True, kw_only=True)
class Step:
    """A block of a page, or a hidden comment that does something."""

    page: Path
    line: int
    #: Of a block its language; `setup` of a comment.
    kind: str
    text: str
    #: The file that the block is.
    file: str | None = None
    #: Whether its commands are only parsed, or its output is not looked at.
    only_read: bool = False

    @property
    def place(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def steps(page):
    """The steps of a page in their order."""
    noted = {}
    for token in MarkdownIt().parse(page.read_text(encoding="utf-8")):
        if token.type == "html_block" and (found := COMMENT.search(token.content)):
            word, value, code = found.groups()
            if word == "setup":
                yield Step(page=page, line=token.map[0] + 1, kind="setup", text=code or value)
            else:
                assert value, f"{page}:{token.map[0] + 1}: the comment gives no {word}"
                noted[word] = value
        elif token.type == "fence" and not token.info.startswith("{"):
            yield Step(
                page=page,
                line=token.map[0] + 1,
                kind=token.info or "sh",
                text=token.content,
                file=noted.pop("file", None),
                only_read=any([noted.pop("not run", None), noted.pop("sample", None)]),
            )
    assert not noted, f"{page}: no block follows the comment {noted}"


def inline_calls(page):
    """Each `lrsearch COMMAND ...` in the page's sentences and tables."""
    for token in MarkdownIt().enable("table").parse(page.read_text(encoding="utf-8")):
        for child in token.children or []:
            # A word in capital letters stands for what the reader has; N for a number.
            if child.type == "code_inline" and re.match(r"lrsearch [a-z]", child.content):
                yield re.sub(r"\bN\b", "3", child.content)


def commands(text):
    """The commands of a shell block, as lists of words."""
    for line in re.sub(r"\\\n", " ", text).splitlines():
        for part in line.split("&&"):
            if words := shlex.split(part, comments=True):
                yield words


def parse(words):
    """Raises click's errors unless these words call a command of lrsearch as it is."""
    command, path, rest = cli, [words[0]], words[1:]
    while isinstance(command, click.Group) and rest and rest != ["--help"]:
        name, rest = rest[0], rest[1:]
        assert name in command.commands, f"no command {' '.join([*path, name])}"
        command = command.commands[name]
        assert not command.hidden, f"{' '.join([*path, name])} is an old name"
        path.append(name)
    if rest and rest != ["--help"]:
        command.make_context(path[-1], rest, resilient_parsing=False)
    return command
