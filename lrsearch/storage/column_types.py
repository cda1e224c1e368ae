"""Column types and SQL functions that each database writes in its own way."""

from sqlalchemy import (
    Dialect,
    Float,
    String,
    Text,
    TypeDecorator,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.expression import FunctionElement

#: Longest text for people in a row.
MOST_WORDS = 500


def one_line(text: str, most: int = MOST_WORDS) -> str:
    """Text from outside, such as a task's complaint, for people: printable, on one line."""
    line = " ".join(text[: 4 * most].split())
    shown = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in line)
    return shown if len(shown) <= most else f"{shown[: most - 3]}..."


class Words(TypeDecorator[str]):
    """One line of text for people: PostgreSQL takes no NUL, no half character, no excess."""

    impl: type[String] = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        most = getattr(self.impl, "length", None) or MOST_WORDS
        return None if value is None else one_line(value, most)

    def process_result_value(self, value: str | None, dialect: Dialect) -> str | None:
        # Whoever may write rows can do so without lrsearch.
        return value if value is None or value.isprintable() else one_line(value)


class ShortWords(Words):
    """The same in a column of so many characters."""

    impl = String
    cache_ok = True


class db_now(FunctionElement[float]):  # noqa: N801 - reads as SQL's now()
    """Seconds since 1970 by the database's clock."""

    type = Float()
    inherit_cache = True


class db_started(FunctionElement[float]):  # noqa: N801
    """When the database's server began to answer, as `db_now`; 0 where there is no server."""

    type = Float()
    inherit_cache = True


def _write(function: type[FunctionElement[float]], database: str, sql: str) -> None:
    """Let a function be this text in the SQL of a database."""
    compiles(function, database)(lambda element, compiler, **options: sql)


_write(db_now, "sqlite", "((julianday('now') - 2440587.5) * 86400.0)")
_write(db_now, "postgresql", "extract(epoch from clock_timestamp())::double precision")
_write(db_started, "sqlite", "0.0")
_write(
    db_started,
    "postgresql",
    "extract(epoch from pg_postmaster_start_time())::double precision",
)
