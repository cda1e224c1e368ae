"""The top-level group, and the one place where errors become a line and an exit code."""

import gc
import sys

import click

from lrsearch.cli import (
    dashboard,
    db,
    doctor,
    init,
    launch,
    project,
    results,
    run,
    study,
    train,
    transfer,
    trial,
    tune,
    watch,
    worker,
)
from lrsearch.cli.listing import Group
from lrsearch.cli.output import say
from lrsearch.errors import LrsearchError
from lrsearch.version import __version__

#: 128 + SIGINT, as shells report an interrupted command.
INTERRUPTED = 130


@click.group(
    cls=Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(__version__, prog_name="lrsearch")
def cli() -> None:
    """Find the optimizer, learning rate and schedule for your PyTorch model.

    A study is one such search: a study FILE describes it, and the database keeps it under its NAME.
    A trial is the training of one recipe: an optimizer, a learning rate, a schedule.

    \b
    Example:
      lrsearch run studies/digits.yaml
    """


MODULES = (
    run,
    tune,
    init,
    train,
    transfer,
    worker,
    launch,
    watch,
    dashboard,
    results,
    study,
    project,
    trial,
    doctor,
    db,
)
for module in MODULES:
    for command in module.COMMANDS:
        cli.add_command(command)


def main() -> None:
    """Run the command line, and end with its exit code."""
    code = exit_code()
    # Databases close themselves; to look through all of torch for garbage once more took 0.9 s.
    gc.freeze()
    sys.exit(code)


def exit_code() -> int:
    """Run the command line: 0 done, 1 a user-level error, 2 usage, 130 interrupted."""
    try:
        code = cli.main(standalone_mode=False)
    except click.exceptions.Exit as ending:
        code = ending.exit_code
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except LrsearchError as error:
        code = _fail(str(error))
    except (click.Abort, KeyboardInterrupt):
        say("Interrupted; the same command goes on where this one stopped.", err=True)
        code = INTERRUPTED
    except BrokenPipeError:
        sys.stderr.close()  # the reader of our output has gone; nobody is left to tell
        code = 0
    except Exception as error:
        code = _fail(_storage_trouble(error))
    return code if isinstance(code, int) else 0


def _fail(message: str) -> int:
    say(f"Error: {' '.join(message.split())}", err=True)
    return 1


def _storage_trouble(error: Exception) -> str:
    """A database's complaint as a line; anything else is a bug of ours and keeps its traceback."""
    from sqlalchemy.exc import DatabaseError, InterfaceError, OperationalError, SQLAlchemyError

    from lrsearch.storage.moments import complaint, moment_of

    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, SQLAlchemyError):
        cause = cause.__cause__ or cause.__context__
    # The server or the file is in trouble; else our SQL is wrong.
    outside = isinstance(cause, OperationalError | InterfaceError) or type(cause) is DatabaseError
    if cause is None or not (outside or moment_of(cause) is not None):
        raise error
    return f"storage: {complaint(cause)}"
