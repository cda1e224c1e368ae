"""`lrsearch.search`: the main job as one Python call."""

import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from lrsearch.catalog.domains import first_value
from lrsearch.fusing import fuse_option
from lrsearch.preflight import check_objective, try_optimizers
from lrsearch.recipe.recipe import Recipe
from lrsearch.report.summary import reviewed
from lrsearch.spec.study_spec import StudySpec
from lrsearch.study.create import create_study
from lrsearch.study.open_study import OpenStudy
from lrsearch.study.prepare_database import open_database
from lrsearch.task.find import load_task
from lrsearch.task.task import LoadedTask, Task
from lrsearch.training.devices import pick_device
from lrsearch.training.try_task import try_task
from lrsearch.worker.processes import run_local
from lrsearch.worker.progress_bar import shown
from lrsearch.worker.stop_signal import Stop
from lrsearch.worker.worker import Worker

#: What stands as the task's reference where the task is an object of the caller's process.
LIVE = "live:task"


@dataclass(frozen=True, kw_only=True)
class Result:
    """What a search found."""

    #: The study's name in the database; `lrsearch show NAME` and the like take it.
    name: str
    #: The confirmed recipe, else the search's best; None if no trial is complete.
    best: Recipe | None
    #: As `lrsearch study show NAME --json`.
    study: Mapping[str, Any]


def search(
    task: Task | str,
    *,
    trials: int = 60,
    epochs: int = 30,
    space: str | Mapping[str, Any] = "default",
    name: str | None = None,
    objective: str | Mapping[str, str] = "val_loss",
    confirm: str | Mapping[str, int] = "auto",
    storage: str | None = None,
    devices: str = "auto",
    fuse: int | str = "auto",
    seed: int = 0,
) -> Result:
    """Search, confirm, and return the best recipe.

    A `Task` object is trained in this process, on one device; `"task.py:task"` (a file relative to
    the current folder) by worker processes on all. The arguments are those of a study file. With
    the `name` of an earlier call the study goes on. `fuse` is how many trials train at once as one
    program, `"off"`, or `"auto"`: as many as are measured to be quickest. Raises LrsearchError for
    what the caller can mend.
    """
    name = name or f"search-{secrets.token_hex(4)}"
    content = {
        "name": name,
        "task": task if isinstance(task, str) else LIVE,
        "epochs": epochs,
        "budget": {"trials": trials},
        "space": space,
        "objective": objective,
        "confirm": confirm,
        "seed": seed,
    }
    spec = StudySpec.from_dict(content, where="search()")
    engine = fuse_option.parse(str(fuse))
    fuse_option.check(spec, engine)
    if isinstance(task, str):
        loaded = load_task(task, Path())
    else:
        loaded = LoadedTask(reference=LIVE, source=Path(), target=task, code={})
    device = pick_device(devices)
    made = loaded.make({key: first_value(domain) for key, domain in spec.space.params.items()})
    check_objective(spec, made)
    with _own_random_stream():
        steps_per_epoch = try_task(made, spec, device)
        try_optimizers(spec, made, steps_per_epoch)
    database = open_database(storage, create=True)
    study, _ = create_study(
        database,
        spec,
        loaded,
        steps_per_epoch=steps_per_epoch,
        batch_size=made.batch_size,
        exist_ok=True,
    )
    if isinstance(task, str):
        run_local(study, Path(), workers=None, device=devices, fuse=engine)
    else:
        _work_here(study, loaded, device, engine)
    summary = reviewed(study)
    return Result(name=name, best=_best(summary), study=summary)


def _work_here(
    study: OpenStudy, loaded: LoadedTask, device: torch.device, fuse: fuse_option.FuseOption
) -> None:
    with _own_random_stream(), shown(study):
        Worker(study, loaded, device, Stop(), fuse=fuse).run()


def _best(summary: Mapping[str, Any]) -> Recipe | None:
    found = summary["confirmed"][0] if summary["confirmed"] else summary["best"]
    return None if found is None else Recipe.from_dict(found["recipe"])


@contextmanager
def _own_random_stream() -> Iterator[None]:
    """Train on one thread and leave the caller's random stream and threads as they were."""
    threads = torch.get_num_threads()
    with torch.random.fork_rng():
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(threads)
