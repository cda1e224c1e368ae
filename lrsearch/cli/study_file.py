"""The argument FILE: the path of a study file, or the name of a study that comes with lrsearch."""

from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path

import click
from click.shell_completion import CompletionItem

from lrsearch.cli.output import say
from lrsearch.errors import TaskError
from lrsearch.spec import shipped_studies


class StudyFile(click.Path):
    """A study file; the shells complete paths and the names of the shipped studies."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(
        self,
        value: str | PathLike[str],
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> Path:
        """The file; whoever reads it says so if it is not there."""
        path = shipped_studies.named(str(value))
        if path.parent == shipped_studies.SHIPPED:
            say(f"study file: {path} (comes with lrsearch)", err=True)
        return path

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """The shipped names that begin so, then whatever the shell knows of files."""
        shipped = [name for name in shipped_studies.names() if name.startswith(incomplete)]
        items = [CompletionItem(name, help="comes with lrsearch") for name in shipped]
        return [*items, *super().shell_complete(ctx, param, incomplete)]


@contextmanager
def what_it_imports(file: Path) -> Iterator[None]:
    """Errors of a shipped study whose libraries are not installed say how to install them."""
    try:
        yield
    except TaskError as error:
        cause = error.__cause__
        while cause is not None and not isinstance(cause, ModuleNotFoundError):
            cause = cause.__cause__
        if cause is None or file.parent != shipped_studies.SHIPPED:
            raise
        raise TaskError(f"{error}; install it: pip install 'lrsearch[examples]'") from error
