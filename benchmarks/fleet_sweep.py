"""What a trial asks of the database, and how it grows with its study and with what runs beside.

Run by `fleet.py --sweep`. Milliseconds are of CPU: of this process, and of its session's server.
"""

import argparse
import json
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

import psutil
from fleet_fill import EPOCHS, METRICS, PRUNED_AT, RUNGS, example, run
from overhead import serve_trial
from sqlalchemy import Connection, event, text

from lrsearch.study.open_study import OpenStudy

#: Trials that run beside: in the smallest study, then in all larger ones; then in the largest.
FEW, MANY = (1, 64), (512, 4000, 8000)
#: What the trials of a large study have been drawn like: so many of other parameters.
TEMPLATES = 1000
#: Clients at once, in so many processes; each does light work for so long in a trial, in seconds.
CLIENTS, PROCESSES, LIGHT_WORK = 64, 4, 0.025
PARTS = ("ask", "pass_rungs", "tell")


@dataclass(frozen=True, kw_only=True)
class Row:
    """What a trial of 20 epochs costs in a study of one size, in milliseconds of CPU."""

    trials: int
    running: int
    ask: float
    #: Recording the rows and the mark of a trial at a rung, and deciding.
    rung: float
    tell: float
    trial: float
    #: Of a whole trial, as the session's process on the server took it.
    server: float
    #: The slowest and the fastest tenth of the asks.
    spread: tuple[float, float]
    statements: float


@dataclass(kw_only=True)
class Clock:
    """CPU seconds of each part, over several trials."""

    parts: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in PARTS})

    @contextmanager
    def watching(self, search: OpenStudy) -> Iterator[None]:
        """Inside, the study's parts are timed."""
        for name in PARTS:
            setattr(search, name, self._timed(name, getattr(search, name)))
        try:
            yield
        finally:
            for name in PARTS:
                delattr(search, name)

    def _timed(self, name: str, work: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*arguments: Any, **named: Any) -> Any:
            before = time.process_time()
            result = work(*arguments, **named)
            self.parts[name].append(time.process_time() - before)
            return result

        return timed


def measured(search: OpenStudy, *, trials: int, running: int, rounds: int) -> Row:
    """One client's trials, one after the other, after two that warm it up."""
    worker, clock = f"benchmark:{os.getpid()}:0", Clock()
    for _ in range(2):
        serve_trial(search, worker, EPOCHS)
    with search.database.begin() as connection:
        session = psutil.Process(connection.execute(text("SELECT pg_backend_pid()")).scalar_one())
    count = counted_statements(search)
    server, before = seconds_of(session), time.process_time()
    with clock.watching(search):
        for _ in range(rounds):
            serve_trial(search, worker, EPOCHS)
    trial = (time.process_time() - before) / rounds
    server = (seconds_of(session) - server) / rounds
    asks = sorted(clock.parts["ask"])
    tenth = len(asks) // 10
    return Row(
        trials=trials,
        running=running,
        ask=1000 * median(asks),
        rung=1000 * median(clock.parts["pass_rungs"]),
        tell=1000 * median(clock.parts["tell"]),
        trial=1000 * trial,
        server=1000 * server,
        spread=(1000 * asks[tenth], 1000 * asks[-1 - tenth]),
        statements=len(count) / rounds,
    )


@dataclass(frozen=True, kw_only=True)
class Rate:
    """What clients did together."""

    trials_per_second: float
    #: Milliseconds of CPU per trial, of the clients' processes and of the whole server.
    client: float
    server: float


def seconds_of(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def server_of(search: OpenStudy) -> psutil.Process:
    """The server's first process."""
    with search.database.begin() as connection:
        pid = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
    parent = psutil.Process(pid).parent()
    assert parent is not None
    return parent


def seconds_of_all(server: psutil.Process) -> float:
    """Of all its processes, ended ones too."""
    times = server.cpu_times()
    ended = float(times.children_user + times.children_system)
    total = ended + seconds_of(server)
    for child in server.children():
        with suppress(psutil.NoSuchProcess):  # it has just ended, and its parent counts it next
            total += seconds_of(child)
    return total


def counted_statements(search: OpenStudy) -> list[None]:
    """A list that gets an item for each statement from now on."""
    seen: list[None] = []
    event.listen(search.database.engine, "before_cursor_execute", lambda *_: seen.append(None))
    return seen


# Clients


def clients(place: Any, count: int, together: Any, seconds: float, results: Any) -> None:
    """So many clients of one process: each asks, works a little, reports and tells; all trials."""
    opened = [place.open_named_study() for _ in range(count)]
    done = [0] * count
    end = [0.0]

    def serve(number: int) -> None:
        worker = f"client:{os.getpid()}:{number}"
        while time.perf_counter() < end[0]:
            time.sleep(LIGHT_WORK)
            serve_trial(opened[number], worker, EPOCHS)
            done[number] += 1

    for number, search in enumerate(opened):
        serve_trial(search, f"client:{os.getpid()}:{number}", EPOCHS)
    together.wait()
    server = server_of(opened[0])
    started, before = time.perf_counter(), (time.process_time(), seconds_of_all(server))
    end[0] = started + seconds
    threads = [threading.Thread(target=serve, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    spent = (time.process_time() - before[0], seconds_of_all(server) - before[1])
    results.put((sum(done), time.perf_counter() - started, *spent))


def rate_of(parts: Sequence[tuple[int, float, float, float]]) -> Rate:
    """Of all processes together; each has seen the CPU of the whole server."""
    trials = sum(part[0] for part in parts)
    return Rate(
        trials_per_second=sum(part[0] / part[1] for part in parts),
        client=1000 * sum(part[2] for part in parts) / trials,
        server=1000 * max(part[3] for part in parts) / trials,
    )


# Studies of any size, by statements of the server's own


def grow(connection: Connection, search: OpenStudy, count: int) -> None:
    """Add so many ended trials, every second one pruned, with parameters of the first ones.

    Each has its marks at rungs, and one row of a curve: nothing here reads another one.
    """
    study: dict[str, Any] = {"study": search.study_id, "count": count, "metrics": METRICS}
    study["first"] = first_number(connection, study)
    study["templates"] = min(TEMPLATES, study["first"])
    study["recipe"] = json.dumps(search.spec.recipe(example(), batch_size=32).to_dict())
    trust_rows(connection)
    run(
        connection,
        "INSERT INTO trials (number, study_id, state, datetime_start, datetime_complete)"
        " SELECT :first + g, :study, CAST(CASE g % 2 WHEN 1 THEN 'PRUNED' ELSE 'COMPLETE' END"
        " AS trialstate), now(), now() FROM generate_series(0, :count - 1) g",
        study,
    )
    run(
        connection,
        "INSERT INTO trial_values (trial_id, objective, value, value_type)"
        " SELECT trial_id, 0, random(), 'FINITE' FROM trials"
        " WHERE study_id = :study AND number >= :first",
        study,
    )
    add_parameters(connection, study)
    run(
        connection,
        "INSERT INTO lr_trial (study_id, ticket, trial_id, number, kind, recipe, state, worker,"
        " attempt, value, metrics, epochs, seconds, started_at, ended_at, ended, fingerprint)"
        " SELECT study_id, number + 1, trial_id, number, 'sampled', CAST(:recipe AS json),"
        " lower(CAST(state AS text)), 'fill:0:0', 1, v.value, CAST(:metrics AS json),"
        f" CASE state WHEN 'PRUNED' THEN {PRUNED_AT} ELSE {EPOCHS} END, 1, 0, 1,"
        " number + 1, 'fill ' || number FROM trials t JOIN trial_values v USING (trial_id)"
        " WHERE study_id = :study AND number >= :first",
        study,
    )
    run(
        connection,
        "INSERT INTO lr_rung (trial, rung, study_id, value)"
        " SELECT id, r, study_id, value + 1.0 / (1 + r)"
        f" FROM lr_trial, generate_series(0, {len(RUNGS) - 1}) r"
        " WHERE study_id = :study AND number >= :first",
        study,
    )
    run(
        connection,
        "INSERT INTO lr_curve (trial, attempt, validation, epoch, step, lr, metrics, seconds)"
        " SELECT id, 1, 1, 1, 44, 0.1, CAST(:metrics AS json), 1 FROM lr_trial"
        " WHERE study_id = :study AND number >= :first",
        study,
    )
    run(
        connection,
        "UPDATE lr_study SET trials_used = trials_used + :count, trials_ended = :first + :count,"
        " epochs_used = epochs_used + 13.5 * :count WHERE study_id = :study",
        study,
    )


def trust_rows(connection: Connection) -> None:
    """Where this role may, let the server not check in this transaction what rows refer to.

    To look for a row's trial takes longer than to write it: minutes at a million trials.
    """
    role = text("SELECT rolsuper FROM pg_roles WHERE rolname = current_user")
    if connection.execute(role).scalar_one():
        connection.execute(text("SET LOCAL session_replication_role = replica"))


def add_running(connection: Connection, search: OpenStudy, count: int) -> None:
    """Add so many trials that run, drawn already, with parameters of the first ones."""
    study: dict[str, Any] = {"study": search.study_id, "count": count}
    study["first"] = first_number(connection, study)
    study["templates"] = min(TEMPLATES, study["first"])
    run(
        connection,
        "INSERT INTO trials (number, study_id, state, datetime_start)"
        " SELECT :first + g, :study, 'RUNNING', now() FROM generate_series(0, :count - 1) g",
        study,
    )
    add_parameters(connection, study)
    run(
        connection,
        "INSERT INTO lr_trial (study_id, ticket, trial_id, number, kind, state, worker, attempt,"
        " epochs, seconds, started_at, fingerprint) SELECT study_id, number + 1, trial_id, number,"
        " 'sampled', 'running', 'fill:0:0', 1, 0, 0, 0, 'fill ' || number FROM trials"
        " WHERE study_id = :study AND number >= :first",
        study,
    )
    run(
        connection,
        "UPDATE lr_study SET trials_used = trials_used + :count WHERE study_id = :study",
        study,
    )


def first_number(connection: Connection, study: dict[str, Any]) -> int:
    query = text("SELECT coalesce(max(number) + 1, 0) FROM trials WHERE study_id = :study")
    return int(connection.execute(query, {"study": study["study"]}).scalar_one())


def add_parameters(connection: Connection, study: dict[str, Any]) -> None:
    run(
        connection,
        "INSERT INTO trial_params (trial_id, param_name, param_value, distribution_json)"
        " SELECT t.trial_id, p.param_name, p.param_value, p.distribution_json FROM trials t"
        " JOIN trials o ON o.study_id = :study AND o.number = t.number % :templates"
        " JOIN trial_params p ON p.trial_id = o.trial_id"
        " WHERE t.study_id = :study AND t.number >= :first",
        study,
    )


# Output


def table(rows: list[Row], rates: Mapping[str, Rate]) -> str:
    lines = [
        "milliseconds of CPU; a trial has 20 epochs and three rungs",
        f"{'trials':>9}{'running':>9}{'ask':>8}{'(p10..p90)':>16}{'rung':>8}{'tell':>8}"
        f"{'trial':>8}{'server':>8}{'statements':>12}",
    ]
    for row in rows:
        spread = f"({row.spread[0]:.1f}..{row.spread[1]:.1f})"
        lines.append(
            f"{row.trials:9d}{row.running:9d}{row.ask:8.1f}{spread:>16}{row.rung:8.1f}"
            f"{row.tell:8.1f}{row.trial:8.1f}{row.server:8.1f}{row.statements:12.1f}"
        )
    lines += [
        f"{name}: {rate.trials_per_second:.1f} trials per second; milliseconds of CPU per trial: "
        f"clients {rate.client:.1f}, server {rate.server:.1f}"
        for name, rate in rates.items()
    ]
    return "\n".join(lines)


def document(rows: list[Row], rates: Mapping[str, Rate]) -> dict[str, Any]:
    return {
        "rows": [asdict(row) for row in rows],
        "clients": {name: asdict(rate) for name, rate in rates.items()},
    }


def sizes(options: argparse.Namespace) -> list[int]:
    """Powers of ten up to the wanted size."""
    found = [size for size in (10**power for power in range(3, 7)) if size <= options.existing]
    return found or [options.existing]
