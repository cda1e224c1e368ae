"""`lrsearch.search`: the main job as one Python call."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict, Unpack

from lrsearch.errors import SpecError
from lrsearch.preflight import check_study
from lrsearch.recipe.recipe import Recipe
from lrsearch.run_study import Outcome, ProgressBar, run_study
from lrsearch.spec.study_spec import StudySpec
from lrsearch.task import own_code
from lrsearch.task.find import load_task
from lrsearch.task.task import LoadedTask, Task
from lrsearch.worker.resources import Resources
from lrsearch.worker.this_process import own_random_stream

#: What stands as the task's reference where the task is an object of the caller's process.
LIVE = "live:task"
#: What a call trains that says neither a budget nor a horizon.
TRIALS, EPOCHS = 60, 30

#: A part of a study file that is a mapping of its own.
Fields = Mapping[str, Any]


class StudyFields(TypedDict, total=False):
    """The fields of a study file besides its task; docs/ and `StudySpec` say what they mean."""

    name: str
    init: str | Fields | None
    epochs: int
    steps: int
    budget: Fields
    objective: str | Fields
    space: str | Fields
    seed: int
    validate_every: str | Fields
    pruning: str | Fields | None
    confirm: str | Fields | None
    tolerance: float
    range_test: str | None
    baseline: str | Fields | None
    enqueue: Sequence[Fields]
    textbook: int | str
    warm_start: Sequence[str | Fields] | str | None
    precision: str
    accumulate: int | str | None
    clip_norm: float | str | None
    ema: str | Fields | None
    checkpoints: str | Fields | None
    lease: Fields
    max_trial_time: float | str | None
    on_code_change: str
    notes: str
    tags: Sequence[str]
    project: str


@dataclass(frozen=True, kw_only=True)
class Counts:
    """How the started trials of a study ended."""

    complete: int
    pruned: int
    diverged: int
    failed: int
    running: int

    @property
    def started(self) -> int:
        return self.complete + self.pruned + self.diverged + self.failed + self.running


@dataclass(frozen=True, kw_only=True, repr=False)
class Result:
    """What a search found; its `repr` is one line."""

    #: The study's name in the database; `lrsearch study show NAME` and the like take it.
    name: str
    #: The confirmed recipe, else the search's best; None if no trial is complete.
    best: Recipe | None
    #: The trial that has this recipe.
    trial: int | None
    #: The objective: `val_loss`, or a metric of the task.
    metric: str
    #: The recipe's mean on fresh seeds, else its value in the search.
    value: float | None
    #: 95 % confidence interval of that mean; None without confirmation, or for a single run.
    interval: tuple[float, float] | None
    #: Runs on fresh seeds whose mean the value is; 0 without confirmation.
    confirmed_runs: int
    counts: Counts

    def __repr__(self) -> str:
        if self.best is None:
            return f"Result({self.name}: no complete trial; {self._ended()})"
        return f"Result({self.name}: {self.best.title()}; {self._value()}; {self._ended()})"

    def _value(self) -> str:
        said = f"{self.metric} {self.value:.4g}"
        if self.interval is not None:
            return f"{said} (95 % CI {self.interval[0]:.4g} .. {self.interval[1]:.4g})"
        return f"{said}, one seed" if self.confirmed_runs <= 1 else said

    def _ended(self) -> str:
        counts = self.counts
        ends = {"complete": counts.complete, "pruned": counts.pruned, "diverged": counts.diverged}
        ends |= {"failed": counts.failed, "running": counts.running}
        said = ", ".join(f"{count} {state}" for state, count in ends.items() if count)
        return f"{counts.started} trials" + (f": {said}" if said else "")


def search(
    task: Task | str | StudySpec,
    *,
    trials: int | None = None,
    task_dir: str | Path = ".",
    storage: str | None = None,
    workers: int | None = None,
    devices: str = "auto",
    fuse: int | str = "auto",
    **fields: Unpack[StudyFields],
) -> Result:
    """Search, confirm, and return the best recipe.

    `task` is a `Task` object, which this process trains on one device; or `"task.py:task"`, a file
    in `task_dir`, which worker processes train on all devices; or a `StudySpec`, which says
    everything. `fields` are those of a study file, by their names there; `trials` is short for
    `budget={"trials": ...}`. Defaults: 60 trials of 30 epochs. With the `name` of an earlier call
    that study goes on.

    `fuse` is how many trials train at once as one program: a number, `"off"`, or `"auto"`, as many
    as are measured to be quickest. Raises LrsearchError for what the caller can mend.
    """
    resources = Resources.parse(workers=workers, device=devices, fuse=fuse)
    own_code.load(own_code.own_names(fields), Path(task_dir), where="search(): ")
    spec = _spec(task, trials, fields)
    folder: Path | None = Path(task_dir)
    own = spec.own_names()
    if isinstance(task, Task):
        _check_live(workers)
        code = own_code.own_hashes(own, Path(task_dir), Path(task_dir).resolve())
        folder, loaded = None, LoadedTask(reference=LIVE, source=Path(), target=task, code=code)
    else:
        assert spec.task is not None
        loaded = load_task(spec.task, Path(task_dir), own)
    with own_random_stream():
        checked = check_study(spec, loaded, folder=folder, device=devices)
    return _result(run_study(checked, storage, resources, report_to=None, progress=ProgressBar()))


def _check_live(workers: int | None) -> None:
    """Raises SpecError for worker processes, which cannot have an object of this process."""
    if workers is not None and workers > 1:
        raise SpecError(
            f"search(): workers = {workers} beside a Task object, which this process trains by "
            f"itself; give the task as 'FILE.py:attribute' for worker processes"
        )


def _spec(task: Task | str | StudySpec, trials: int | None, fields: StudyFields) -> StudySpec:
    """The study that the arguments of `search` describe. Raises SpecError."""
    if isinstance(task, StudySpec):
        if given := [*fields, *(["trials"] if trials is not None else [])]:
            raise SpecError(
                f"search(): {', '.join(given)} beside a StudySpec, which says everything; give "
                f"the fields alone, or change the StudySpec"
            )
        return task
    content: dict[str, Any] = {
        "task": task if isinstance(task, str) else LIVE,
        **({} if "steps" in fields else {"epochs": EPOCHS}),
        "budget": {"trials": TRIALS},
        **fields,
        "name": fields.get("name") or f"search-{secrets.token_hex(4)}",
    }
    if trials is not None:
        budget = fields.get("budget", {})
        if not isinstance(budget, Mapping):
            raise SpecError(
                f"search(): budget = {budget!r}: a mapping, as {{'runs': 20}}, is needed"
            )
        content["budget"] = {**budget, "trials": trials}
    return StudySpec.from_dict(content, where="search()")


def _result(outcome: Outcome) -> Result:
    report = outcome.report
    winner, best = report.winner, report.best
    recipe = Recipe.from_dict(winner.recipe) if winner else best.parsed if best else None
    return Result(
        name=report.name,
        best=recipe,
        trial=winner.trial if winner else best.number if best else None,
        metric=report.metric,
        value=winner.mean if winner else best.value if best else None,
        interval=winner.ci95 if winner else None,
        confirmed_runs=winner.n if winner else 0,
        counts=Counts(**report.counts),
    )
