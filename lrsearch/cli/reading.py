"""What commands share that only read: they may take a copy of the database, which may be late."""

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from lrsearch.cli.options import common

if TYPE_CHECKING:
    from lrsearch.storage.location import Location


def reading(command: Callable[..., Any]) -> Callable[..., Any]:
    """`common` and `--read-storage`: they become one argument, `storage`, where to read from."""

    @functools.wraps(command)
    def located(
        *arguments: Any, storage: str | None, read_storage: str | None, **options: Any
    ) -> Any:
        from lrsearch.storage.location import locate_to_read

        where: Location = locate_to_read(storage, read_storage)
        return command(*arguments, storage=where, **options)

    read_storage_option = click.option(
        "--read-storage",
        metavar="URL",
        help="A copy of the database to read from, such as a streaming replica; nothing is written "
        "there. Default LRSEARCH_READ_STORAGE, else read_storage in lrsearch.toml, else the "
        "database itself.",
    )
    return common(read_storage_option(located))
