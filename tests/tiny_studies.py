"""The tiny study (tests/tasks) in a database, without a command line."""

from contextlib import contextmanager
from pathlib import Path

import torch
from sqlalchemy import func, make_url, select

from lrsearch.loggers.study_log import StudyLog
from lrsearch.spec.study_spec import StudySpec
from lrsearch.storage.database import Database
from lrsearch.storage.location import Location
from lrsearch.storage.tables import checkpoints
from lrsearch.study.assignment import Verdict
from lrsearch.study.create import create_study
from lrsearch.study.open_study import Arrival, Outcome
from lrsearch.task.find import load_task
from lrsearch.trial.curve import Validation
from lrsearch.user_input import read_yaml
from lrsearch.worker.context import WorkerContext
from lrsearch.worker.leases.renewal import LeaseRenewer
from lrsearch.worker.stop_signal import Stop
from lrsearch.worker.study_checkpoints import StudyCheckpoints
from lrsearch.worker.tasks.program import TaskProgram
from lrsearch.worker.worker import Worker

TASKS = Path(__file__).parent / "tasks"
STEPS_PER_EPOCH, EPOCHS, TRIALS = 6, 4, 12
#: Of a trial that runs to its end.
VALIDATIONS = 8
#: Seconds of a lease that no test outlives.
LEASE = 600.0


def tiny_spec(**changes):
    return StudySpec.from_dict({**read_yaml(TASKS / "tiny.yaml", "study file"), **changes})


def tiny_task():
    return load_task("tiny.py:task", TASKS)


def search_here(**changes):
    """`lrsearch.search` of the tiny study, whose task is an object that this process trains."""
    import lrsearch

    fields = read_yaml(TASKS / "tiny.yaml", "study file")
    fields = {key: value for key, value in fields.items() if key not in ("task", "name")}
    return lrsearch.search(tiny_task().make({}), **{**fields, **changes})


def make_study(database, **changes):
    """The tiny study with these fields changed, new in the database."""
    spec, loaded = tiny_spec(**changes), tiny_task()
    search, new = create_study(
        database, spec, loaded, steps_per_epoch=STEPS_PER_EPOCH, exist_ok=False
    )
    assert new
    return search


def recorded_checkpoints(database):
    """How many checkpoints a worker would find; a file is written before its row."""
    kept = checkpoints.c.bytes > 0
    with database.read() as connection:
        return connection.scalar(select(func.count()).select_from(checkpoints).where(kept))


@contextmanager
def opened(url):
    """The database at a URL as `lrsearch` opens it."""
    url = make_url(url)
    if url.get_backend_name() == "postgresql":
        url = url.set(drivername="postgresql+psycopg")
    database = Database(Location(url=url, source="test"))
    try:
        yield database
    finally:
        database.close()


def passes_rung(search, assignment, **shown):
    """Let one trial arrive at a rung; whether it goes on, None if it is lost."""
    rows = shown.get("rows")
    epochs = rows[-1].epoch if rows else float(shown["validation"])
    trained = {"epochs": epochs, "seconds": 1.0}
    [verdict] = search.pass_rungs([Arrival(assignment=assignment, **{**trained, **shown})])
    return {Verdict.GOES_ON: True, Verdict.ENDS: False, Verdict.LOST: None}[verdict]


def ask(search, worker="host:1:1"):
    return search.ask(worker, lambda params: 16)


def ended(state, **changes):
    """How a trial's training ended, as a worker tells it."""
    fields = {"reason": None, "epochs": 4.0, "seconds": 1.0, "progress": 1.0, "start_loss": 2.0}
    return Outcome(state=state, **{**fields, **changes})


def worker_of(search, loaded, stop=None, **how):
    """A worker of the study in this process, on the CPU."""
    device = torch.device("cpu")
    return Worker(search, TaskProgram(search.spec, loaded, device), device, stop or Stop(), **how)


def work(search):
    """Be the study's only worker, in this process, until it is finished."""
    worker_of(search, tiny_task()).run()


def make_context(search, loaded, *, worker="host:1:1", stop=lambda: False):
    """What a worker works with; the thread that renews leases is not started."""
    return WorkerContext(
        search=search,
        program=TaskProgram(search.spec, loaded, torch.device("cpu")),
        renewer=LeaseRenewer(search, worker, "cpu", "0"),
        study_checkpoints=StudyCheckpoints.of(search),
        stop=stop,
        log=StudyLog(search),
    )


def curve_row(validation, **changes):
    """What a worker writes of a validation."""
    fields = {
        "validation": validation,
        "step": 3 * validation,
        "epoch": validation / 2,
        "lr": 0.1,
        "train_loss": 1.0 / validation,
        "val_loss": 2.0 / validation,
        "val_loss_ema": None,
        "metrics": {"mae": 0.5},
        "metrics_ema": None,
        "grad_norm": 1.0,
        "seconds": 0.1 * validation,
    }
    return Validation(**{**fields, **changes})
