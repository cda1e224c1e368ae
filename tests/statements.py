"""Statements that SQLAlchemy compiles: the SQL of one depends on the dialect and not on a database.

An engine compiles each statement anew, which takes a third of the processor time of a test that
makes a study in a database of its own.
"""

from sqlalchemy.engine import Engine
from sqlalchemy.engine.default import DefaultDialect
from sqlalchemy.util import LRUCache

#: More than lrsearch, Optuna and the tests have.
MOST = 5000


def compile_once():
    """Let all engines of this process, and of what is forked from it, share what is compiled.

    It is found by the dialect, which is another object in each engine: equal are those of one kind
    and version of database that write JSON alike.
    """
    compiled, begin = LRUCache(MOST), Engine.__init__

    def sharing(engine, *arguments, **options):
        begin(engine, *arguments, **options)
        engine._compiled_cache = compiled

    Engine.__init__ = sharing
    DefaultDialect.__eq__ = lambda one, other: _told(one) == _told(other)
    DefaultDialect.__hash__ = lambda one: hash(type(one))


def _told(dialect):
    names = ("paramstyle", "server_version_info", "_json_serializer", "_json_deserializer")
    return type(dialect), *(getattr(dialect, name, None) for name in names)
