"""How `--help` lists the commands of a group: each with its arguments, under a heading."""

import click

#: Headings by the first argument that a command takes, in the order in which they are printed.
HEADINGS = {
    "FILE": "Commands that take a study FILE",
    "NAME": "Commands that take the NAME of a study",
    "COMMAND": "Commands that take a training COMMAND",
    "": "Other commands",
}
#: The heading of commands that hold others.
GROUPS = "Groups of commands"


class Group(click.Group):
    """A group whose `--help` says which commands take a FILE and which a NAME."""

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        found = [self.get_command(context, name) for name in self.list_commands(context)]
        shown = [command for command in found if command is not None and not command.hidden]
        width = max((len(_usage(command)) for command in shown), default=0)
        for heading in (*HEADINGS.values(), GROUPS):
            rows = [
                (_usage(command).ljust(width), _first_sentence(command))
                for command in shown
                if _heading(command) == heading
            ]
            if rows:
                with formatter.section(heading):
                    formatter.write_dl(rows)


def _first_sentence(command: click.Command) -> str:
    """What a command does, whole: where the line is too short for it, it goes on in the next."""
    paragraph = " ".join((command.help or "").split("\n\n")[0].split())
    return paragraph.split(". ")[0].rstrip(".")


def _arguments(command: click.Command) -> list[str]:
    """Those that it takes; the one that it can do without stands in brackets."""
    arguments = [part for part in command.params if isinstance(part, click.Argument)]
    names = [(part.metavar or part.human_readable_name, part.required) for part in arguments]
    return [name if needed else f"[{name.strip('[]')}]" for name, needed in names]


def _usage(command: click.Command) -> str:
    """The command's name and arguments, such as `extend NAME FILE`."""
    return " ".join([command.name or "", *_arguments(command)])


def _heading(command: click.Command) -> str:
    if isinstance(command, click.Group):
        return GROUPS
    first = next(iter(_arguments(command)), "").strip("[]")
    return HEADINGS.get(first, HEADINGS[""])
