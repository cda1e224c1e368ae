"""Who may do what in a PostgreSQL database: SQL for an administrator to read and to run.

Three roles: `admin` owns the schema, makes tables, creates and deletes studies; `worker` works on
studies; `reader` reads. A worker deletes nothing and changes neither what a study is nor its code.
"""

from collections.abc import Iterable, Iterator

from sqlalchemy.dialects.postgresql import dialect

from lrsearch.errors import StorageError
from lrsearch.storage import all_tables, tables, team_tables
from lrsearch.storage.postgresql import SCHEMA
from lrsearch.storage.schema import VERSION_TABLE

#: What a worker may write where it is less than `INSERT, UPDATE`. Each of these tables has rows
#: that it locks, for which it must be allowed to update one column.
_LESS = {
    tables.studies.name: "UPDATE (trials_used, trials_ended, trials_returned, epochs_used, "
    "epochs_reserved, first_ask_at, exhausted_at, moves)",
    tables.queue.name: "INSERT, UPDATE (ticket)",
    tables.optuna_studies.name: "UPDATE (study_id)",
    tables.study_ids.name: "SELECT",
    team_tables.projects.name: "SELECT",
    team_tables.actions.name: "SELECT",
}
#: Of a name in PostgreSQL, in bytes.
LONGEST_NAME = 63
_quote = dialect().identifier_preparer.quote  # type: ignore[no-untyped-call]


def statements(admin: str, worker: str, reader: str, optuna_tables: Iterable[str]) -> Iterator[str]:
    """The statements for these roles, which must exist, and Optuna's tables, in their order.

    Raises StorageError for names that no role has, or one name for two of them.
    """
    _check(admin, worker, reader)
    admin, worker, reader, schema = map(_quote, (admin, worker, reader, SCHEMA))
    ours = all_tables.NAMES
    optunas = sorted(optuna_tables)
    both = f"{worker}, {reader}"
    yield f"ALTER SCHEMA {schema} OWNER TO {admin}"
    for name in (*ours, VERSION_TABLE, *optunas):
        yield f"ALTER TABLE {schema}.{_quote(name)} OWNER TO {admin}"
    yield f"REVOKE ALL ON ALL TABLES IN SCHEMA {schema} FROM PUBLIC, {both}"
    yield f"REVOKE ALL ON SCHEMA {schema} FROM PUBLIC, {both}"
    yield f"GRANT USAGE ON SCHEMA {schema} TO {both}"
    yield f"GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {both}"
    yield f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA {schema} TO {worker}"
    writable = [name for name in optunas if name.startswith("trial") or name in _LESS]
    for name in (*ours, *writable):
        rights = _LESS.get(name, "INSERT, UPDATE")
        yield f"GRANT {rights} ON {schema}.{_quote(name)} TO {worker}"
    future = f"ALTER DEFAULT PRIVILEGES FOR ROLE {admin} IN SCHEMA {schema}"
    yield f"{future} GRANT SELECT ON TABLES TO {both}"
    yield f"{future} GRANT USAGE ON SEQUENCES TO {worker}"


def _check(*roles: str) -> None:
    for role in roles:
        if not role.strip() or not role.isprintable() or len(role.encode()) > LONGEST_NAME:
            raise StorageError(
                f"{role!r} names no role; 1 to {LONGEST_NAME} printable characters are accepted"
            )
    if len(set(roles)) < len(roles):
        raise StorageError(
            f"the roles {', '.join(roles)} must be three: what one may not, another must"
        )
