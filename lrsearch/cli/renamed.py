"""Earlier names of commands and options: hidden, they still work, and say the new one."""

import copy
import functools
from collections.abc import Callable
from typing import Any

import click
from click.core import ParameterSource

from lrsearch.cli.output import say


def say_renamed(old: str, new: str) -> None:
    """One line on stderr."""
    say(f"`{old}` is now `{new}`", err=True)


def earlier_name(command: click.Command, name: str, *, old: str, new: str) -> click.Command:
    """A hidden command called `name` that does what `command` does."""
    alias, work = copy.copy(command), command.callback
    assert work is not None

    @functools.wraps(work)
    def say_and_work(*arguments: Any, **options: Any) -> Any:
        say_renamed(old, new)
        return work(*arguments, **options)

    alias.name, alias.hidden, alias.callback = name, True, say_and_work
    return alias


def renamed_option(
    new: str, old: str, *, envvar: str | None = None, old_envvar: str | None = None, **settings: Any
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The option `new`; a hidden one called `old`, and its variable, set it as well."""
    key, old_key = (name.lstrip("-").replace("-", "_") for name in (new, old))

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(command)
        def merged(*arguments: Any, **options: Any) -> Any:
            given = options.pop(old_key)
            if given is not None:
                source = click.get_current_context().get_parameter_source(old_key)
                is_variable = source is ParameterSource.ENVIRONMENT
                names = (old_envvar, envvar) if is_variable else (old, new)
                say_renamed(str(names[0]), str(names[1]))
                if options[key] is None:
                    options[key] = given
            return command(*arguments, **options)

        hidden = click.option(old, envvar=old_envvar, hidden=True, type=settings.get("type"))
        return click.option(new, envvar=envvar, **settings)(hidden(merged))

    return decorate
