"""Every command's help: an example, and a first sentence that fits into the list of commands."""

import click
import pytest
from click.testing import CliRunner

from lrsearch.cli import cli

COLUMNS = 80


def paths(group, above=()):
    """The groups below and with this one, by their words."""
    yield above, group
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from paths(command, (*above, name))


GROUPS = dict(paths(cli))
COMMANDS = {
    (*words, name): command
    for words, group in GROUPS.items()
    for name, command in group.commands.items()
    if not command.hidden
}


def shown(words):
    ended = CliRunner().invoke(cli, [*words, "--help"], terminal_width=COLUMNS)
    assert ended.exit_code == 0
    return ended.output


@pytest.mark.parametrize("words", GROUPS, ids=" ".join)
def test_the_list_of_commands_cuts_no_sentence(words):
    assert "..." not in shown(words).replace("[ARGS]...", "")


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_each_command_shows_an_example_of_itself(words):
    assert f"Example:\n    lrsearch {' '.join(words)}" in shown(words)


def test_the_list_says_which_commands_take_a_file_and_which_a_name():
    parts = shown(()).split("Commands that take ")
    files, names = parts[1], parts[2].split("Groups of commands")[0]
    assert [line.split()[:2] for line in files.splitlines()[1:] if line[2:3].strip()] == [
        ["check", "FILE"],
        ["range-test", "FILE"],
        ["run", "FILE"],
    ]
    begun = [line for line in names.splitlines()[1:] if line[2:].strip() and line[2] != " "]
    assert [line.split()[:2] for line in begun] == [
        [name, "[NAME]" if name in ("dashboard", "status", "worker") else "NAME"]
        for name in (
            *("branch", "confirm", "dashboard", "export", "launch", "report", "status"),
            *("train", "transfer", "watch", "worker"),
        )
    ]
