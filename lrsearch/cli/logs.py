"""Where log records go: stderr with `-v`, and the file of `--log-file`."""

import json
import logging
import os
import platform
from datetime import UTC, datetime
from pathlib import Path

import click

from lrsearch.private_files import make_private_file
from lrsearch.shown_text import visible

#: What `-v`, `-vv` show; a file gets INFO at least.
LEVELS = (logging.WARNING, logging.INFO, logging.DEBUG)
#: `json` makes each line a JSON object, for what collects logs; default `text`. Workers inherit it.
LOG_FORMAT = "LRSEARCH_LOG_FORMAT"
FORMAT = "%(asctime)s %(process)d %(levelname)s %(message)s"


def on_verbose(context: click.Context, parameter: click.Parameter, value: int) -> int:
    context.meta["verbose"] = value
    configure(value, context.meta.get("log_file"))
    return value


def on_log_file(
    context: click.Context, parameter: click.Parameter, value: Path | None
) -> Path | None:
    context.meta["log_file"] = value
    configure(context.meta.get("verbose", 0), value)
    return value


def configure(verbose: int, log_file: Path | None) -> None:
    """Raises SpecError if the file cannot be written."""
    log = logging.getLogger("lrsearch")
    level = LEVELS[min(verbose, len(LEVELS) - 1)]
    for handler in log.handlers[:]:
        log.removeHandler(handler)
        handler.close()
    terminal = logging.StreamHandler()
    terminal.setLevel(level)
    terminal.setFormatter(_formatter(None))
    log.addHandler(terminal)
    log.setLevel(level)
    if log_file is not None:
        log.addHandler(_file_handler(log_file))
        log.setLevel(min(level, logging.INFO))


def _file_handler(path: Path) -> logging.FileHandler:
    from lrsearch.errors import SpecError

    try:
        make_private_file(path)
        # It appends: workers are processes of their own and write to the same file.
        handler = logging.FileHandler(path, encoding="utf-8")
    except OSError as error:
        raise SpecError(f"--log-file {path}: {error.strerror}; name a file to write") from error
    handler.setFormatter(_formatter(FORMAT))
    return handler


def _formatter(plain: str | None) -> logging.Formatter:
    """As LRSEARCH_LOG_FORMAT says. Raises SpecError for what it may not be."""
    from lrsearch.errors import SpecError

    given = os.environ.get(LOG_FORMAT, "text")
    if given not in ("text", "json"):
        raise SpecError(f"{LOG_FORMAT}={given}: text or json is accepted")
    return _Json() if given == "json" else _Visible(plain)


class _Json(logging.Formatter):
    """Each record as one JSON object on a line of its own."""

    def format(self, record: logging.LogRecord) -> str:
        fields = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "host": platform.node(),
            "pid": record.process,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            fields["traceback"] = self.formatException(record.exc_info)
        return json.dumps(fields)


class _Visible(logging.Formatter):
    """Records in which nothing drives a terminal, also that on which the file is read."""

    def format(self, record: logging.LogRecord) -> str:
        return visible(super().format(record))
