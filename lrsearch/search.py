"""The only module that knows Optuna: create, open, ask, report at rungs, tell."""

import math
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import optuna
from optuna.trial import TrialState as OptunaState
from sqlalchemy import Connection

from lrsearch.errors import SpecError, StorageError, StudyError, near_miss
from lrsearch.recipe import Recipe
from lrsearch.rungs import survives
from lrsearch.spec import StudySpec
from lrsearch.storage import curves, schema, studies, trials
from lrsearch.storage.connect import Database, explained, locate
from lrsearch.storage.rows import Row
from lrsearch.storage.tables import TrialState
from lrsearch.storage.trials import TICKET_ATTRIBUTE, Claim
from lrsearch.task import LoadedTask, Task

optuna.logging.set_verbosity(optuna.logging.WARNING)
warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)

#: Share of the search's epochs that confirmation may spend at most.
CONFIRM_SHARE = 0.25
#: What Optuna gets as the value of a diverged trial whose objective has no natural bad value; the
#: constraint is what the sampler goes by.
WORST_VALUE = 1e3


@dataclass(frozen=True, kw_only=True)
class Assignment:
    """A trial that a worker has claimed, and what to train."""

    claim: Claim
    #: Optuna's trial id and number.
    trial_id: int
    number: int
    kind: str
    recipe: Recipe


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a trial's training ended."""

    state: TrialState
    reason: str | None
    epochs: float
    seconds: float
    #: Share of the horizon that was trained.
    progress: float
    #: Loss of the first batch.
    start_loss: float


def _optuna_storage(database: Database, *, create: bool = False) -> optuna.storages.RDBStorage:
    return optuna.storages.RDBStorage(
        database.optuna_url,
        engine_kwargs=dict(database.engine_kwargs),
        skip_table_creation=not create,
    )


def prepare(database: Database) -> bool:
    """Make the schema or bring it up to date; safe when many processes start at once.

    Returns whether there was anything to do.
    """
    with explained(database):
        if database.path is not None and not database.path.parent.is_dir():
            raise StorageError(
                f"storage {database.location}: the folder {database.path.parent} does not exist"
            )
        with database.read() as connection:
            if schema.is_current(connection):
                return False
        with schema.creation_lock(database):
            with database.read() as connection:
                if schema.is_current(connection):
                    return False
            _create_tables(database)
    return True


def _create_tables(database: Database) -> None:
    fresh = database.path is not None and database.path.stat().st_size == 0
    try:
        _optuna_storage(database, create=True).engine.dispose()
        with database.begin() as connection:
            schema.upgrade(connection)
    except Exception:
        if fresh and database.path is not None:  # nothing half-made stays behind
            database.close()
            for suffix in ("", "-wal", "-shm"):
                database.path.with_name(database.path.name + suffix).unlink(missing_ok=True)
        raise


def open_database(option: str | None, *, create: bool = False) -> Database:
    """The database that `--storage`, the environment or a file names, ready for use.

    Without `create` it must hold lrsearch's tables already. Raises StorageError in one line.
    """
    database = Database(locate(option))
    if create:
        prepare(database)
        return database
    missing = f"storage {database.location} holds no studies; `lrsearch run FILE` creates one"
    if database.path is not None and not database.path.exists():
        raise StorageError(missing)
    with explained(database), database.read() as connection:
        if schema.revision(connection) is None:
            raise StorageError(missing)
        if not schema.is_current(connection):
            raise StorageError(
                f"storage {database.location} was made by an older version; run `lrsearch db "
                f"upgrade`"
            )
    return database


class Search:
    """A study, opened: what workers ask, report and tell."""

    def __init__(self, database: Database, row: Row) -> None:
        self.database = database
        self.study_id: int = row["study_id"]
        self.spec = StudySpec.from_stored(row["definition"])
        self.code: Mapping[str, str] = row["code"]
        self.steps_per_epoch: int = row["steps_per_epoch"]
        self.study = optuna.load_study(
            study_name=row["name"], storage=_optuna_storage(database), sampler=self._sampler(0)
        )

    @property
    def name(self) -> str:
        return self.spec.name

    @classmethod
    def open(cls, database: Database, name: str) -> "Search":
        """Raises StudyError with the near miss if there is no study of this name."""
        with explained(database), database.read() as connection:
            row = studies.by_name(connection, name)
            known = [study["name"] for study in studies.everything(connection)]
        if row is None:
            hint = near_miss(name, known) if known else "; there are none yet"
            raise StudyError(f"no study {name!r} in {database.location}{hint}")
        return cls(database, row)

    def _sampler(self, ticket: int) -> optuna.samplers.BaseSampler:
        # Seeded by the ticket: a study resumed, or worked on by several, never draws twice the
        # same, and one worker draws the same study again.
        seed = (self.spec.seed * 1_000_003 + ticket) % 2**32
        return optuna.samplers.TPESampler(seed=seed)

    @property
    def horizon(self) -> float:
        """Epochs of a full trial."""
        return self.spec.horizon_epochs(self.steps_per_epoch)

    @property
    def _keep(self) -> float:
        return CONFIRM_SHARE if self.spec.confirm is not None else 0.0

    def may_start(self, connection: Connection) -> bool:
        """Whether the study is open and its budget has another trial."""
        return trials.may_start(connection, self.study_id, horizon=self.horizon, keep=self._keep)

    def ask(self, worker: str, batch_size: Callable[[Mapping[str, Any]], int]) -> Assignment | None:
        """Claim a trial: an orphan if there is one, else a new one; None if the budget is used.

        `batch_size` tells the task's own for given params.
        """
        with self.database.begin() as connection:
            row = trials.take_over(connection, self.study_id, worker) or trials.start(
                connection, self.study_id, worker, horizon=self.horizon, keep=self._keep
            )
        if row is None:
            return None
        claim = Claim(id=row["id"], attempt=row["attempt"], worker=worker)
        if row["trial_id"] is None:
            return self._begin(claim, row, batch_size)
        return Assignment(
            claim=claim,
            trial_id=row["trial_id"],
            number=row["number"],
            kind=row["kind"],
            recipe=Recipe.from_dict(row["recipe"]),
        )

    def _begin(
        self, claim: Claim, row: Row, batch_size: Callable[[Mapping[str, Any]], int]
    ) -> Assignment:
        """Create the ticket's trial in Optuna, sample its recipe, and record both."""
        given = row["recipe"]
        fixed = None if given is None else self.spec.space.params_of(given)
        trial_id = self._optuna_trial(row["ticket"], fixed)
        self.study.sampler = self._sampler(row["ticket"])
        trial = optuna.Trial(self.study, trial_id)
        if given is None or fixed is not None:
            sampled = self.spec.space.suggest(trial)
        fields = sampled if given is None else given
        size = fields.get("batch_size") or batch_size(fields["params"])
        recipe = self.spec.recipe(fields, batch_size=size)
        with self.database.begin() as connection:
            trials.link(
                connection,
                claim,
                trial_id=trial_id,
                number=trial.number,
                recipe=recipe.to_dict(),
            )
        return Assignment(
            claim=claim, trial_id=trial_id, number=trial.number, kind=row["kind"], recipe=recipe
        )

    def _optuna_trial(self, ticket: int, fixed: Mapping[str, Any] | None) -> int:
        with self.database.read() as connection:
            found = trials.optuna_trial_of(connection, self.study_id, ticket)
        if found is not None:
            return found
        template = optuna.trial.create_trial(
            state=OptunaState.RUNNING,
            user_attrs={TICKET_ATTRIBUTE: ticket},
            system_attrs={} if fixed is None else {"fixed_params": dict(fixed)},
        )
        return self.study._storage.create_new_trial(self.study._study_id, template)

    def passes_rung(
        self, assignment: Assignment, *, rung: int, signal: float, value: float, validation: int
    ) -> bool:
        """Record a trial's signal at a rung and decide whether it goes on.

        Raises StudyError if the claim is lost. A baseline always goes on.
        """
        pruning = self.spec.pruning
        assert pruning is not None
        with self.database.begin() as connection:
            others = trials.mark_rung(connection, self.study_id, assignment.claim, rung, signal)
        if others is None:
            raise LostTrialError(f"trial {assignment.number} was taken over by another worker")
        if math.isfinite(value):
            self._report(assignment.trial_id, value, validation)
        if assignment.kind == "baseline":
            return True
        return survives(signal, others, eta=pruning.eta, min_peers=pruning.min_peers)

    def _report(self, trial_id: int, value: float, step: int) -> None:
        trial = optuna.Trial(self.study, trial_id)
        known = self.study._storage.get_trial(trial_id).intermediate_values
        if step not in known:  # an earlier attempt may have reported it
            trial.report(value, step)

    def tell(self, assignment: Assignment, outcome: Outcome) -> bool:
        """End a trial here and in Optuna; False if another worker has taken it over."""
        with self.database.begin() as connection:
            rows = curves.of_trial(connection, assignment.claim.id)
            best = best_validation(rows, self.spec)
            scored = outcome.state in (TrialState.COMPLETE, TrialState.PRUNED)
            values: dict[str, Any] = {
                "state": outcome.state,
                "reason": outcome.reason,
                "epochs": outcome.epochs,
                "seconds": outcome.seconds,
                "value": None,
            }
            if scored and best is not None:
                values["value"] = objective_value(best, self.spec)
                values["best_validation"] = best["validation"]
                values["metrics"] = best["metrics"]
            if not trials.record(connection, assignment.claim, horizon=self.horizon, values=values):
                return False
        self._tell_optuna(assignment.trial_id, values, outcome)
        return True

    def _tell_optuna(
        self, trial_id: int, values: Mapping[str, Any], outcome: "Outcome | None"
    ) -> None:
        """Optuna's half: state, value, and for what was infeasible a constraint above 0."""
        trial = optuna.Trial(self.study, trial_id)
        infeasible = values["state"] == TrialState.DIVERGED or values["reason"] == "oom"
        progress = outcome.progress if outcome is not None else 0.0
        # The earlier it diverges, the further it was beyond the edge.
        if "diverged" not in trial.constraints:
            trial.set_constraint("diverged", 2.0 - progress if infeasible else 0.0)
        try:
            if values["state"] == TrialState.COMPLETE and values["value"] is not None:
                self.study.tell(trial, values["value"])
            elif infeasible:
                known = self.study._storage.get_trial(trial_id).intermediate_values
                self._report(trial_id, self._bad_value(outcome), 1 + max(known, default=0))
                self.study.tell(trial, state=OptunaState.PRUNED)
            elif values["state"] == TrialState.PRUNED:
                self.study.tell(trial, state=OptunaState.PRUNED)
            else:
                self.study.tell(trial, state=OptunaState.FAIL)
        except (optuna.exceptions.UpdateFinishedTrialError, ValueError):
            # Another worker that repaired the study has told it in the meantime; anything else
            # leaves the trial running, and is raised.
            if self.study._storage.get_trial(trial_id).state == OptunaState.RUNNING:
                raise

    def _bad_value(self, outcome: "Outcome | None") -> float:
        from lrsearch.training.loop import divergence_limit

        if self.spec.objective.direction == "maximize":
            return -WORST_VALUE
        if self.spec.objective.metric != "val_loss" or outcome is None:
            return WORST_VALUE
        limit = divergence_limit(outcome.start_loss)
        return limit if math.isfinite(limit) else WORST_VALUE

    def repair(self) -> None:
        """Tell Optuna the end of trials whose worker died between our write and Optuna's."""
        with self.database.read() as connection:
            rows = trials.untold(connection, self.study_id)
        for row in rows:
            self._tell_optuna(row["trial_id"], dict(row), None)

    def delete(self) -> None:
        """Remove the study, Optuna's half and ours."""
        optuna.delete_study(study_name=self.name, storage=_optuna_storage(self.database))
        with self.database.begin() as connection:
            studies.forget(connection, self.study_id)


class LostTrialError(Exception):
    """The trial belongs to another worker now; whoever gets this drops it and goes on."""


def objective_value(row: Mapping[str, Any], spec: StudySpec) -> float | None:
    """The objective at one validation, of the deployed weights; None if it was not finite."""
    if spec.objective.metric != "val_loss":
        value: float | None = row["metrics"].get(spec.objective.metric)
        return value
    deployed = "val_loss_ema" if spec.ema is not None and spec.ema.deploy else "val_loss"
    loss: float | None = row[deployed]
    return loss


def best_validation(rows: list[Any], spec: StudySpec) -> Mapping[str, Any] | None:
    """The validation with the best objective, the earlier of equals; None if none has one."""
    scored = [(row, objective_value(row, spec)) for row in rows]
    finite = [(row, value) for row, value in scored if value is not None and math.isfinite(value)]
    if not finite:
        return None
    best: Mapping[str, Any] = min(finite, key=lambda item: spec.objective.loss(item[1]))[0]
    return best


def create_study(
    database: Database,
    spec: StudySpec,
    loaded: LoadedTask,
    *,
    steps_per_epoch: int,
    exist_ok: bool,
) -> tuple[Search, bool]:
    """The study of this spec, and whether it is new.

    An existing one of the same name must have the same spec and code; its budget, confirmation and
    notes then follow the new spec. Raises StudyError with the differences otherwise.
    """
    with explained(database), database.read() as connection:
        row = studies.by_name(connection, spec.name)
    if row is None:
        with explained(database):
            _insert_study(database, spec, loaded, steps_per_epoch)
        return Search.open(database, spec.name), True
    if not exist_ok:
        raise StudyError(
            f"study {spec.name!r} exists already; add --exist-ok, or --name for another one"
        )
    _refuse_other(spec, StudySpec.from_stored(row["definition"]), loaded, row["code"])
    with explained(database), database.begin() as connection:
        definition = spec.to_dict()
        studies.change(connection, row["study_id"], definition=definition, **_budget(spec))
    return Search.open(database, spec.name), False


def _budget(spec: StudySpec) -> dict[str, Any]:
    return {
        "trials_total": spec.budget.trials,
        "epochs_total": spec.budget.total_epochs,
        "seconds_total": spec.budget.time,
    }


def _insert_study(
    database: Database, spec: StudySpec, loaded: LoadedTask, steps_per_epoch: int
) -> None:
    optuna.create_study(
        study_name=spec.name,
        storage=_optuna_storage(database),
        direction=spec.objective.direction,
        load_if_exists=True,
    )
    with database.begin() as connection:
        study_id = studies.optuna_id(connection, spec.name)
        assert study_id is not None
        if studies.by_id(connection, study_id) is not None:
            return  # another process was quicker; it is compared when opened again
        values = {
            "study_id": study_id,
            "name": spec.name,
            "definition": spec.to_dict(),
            "spec_hash": spec.hash(),
            "code": dict(loaded.code),
            "versions": {name: version(name) for name in ("lrsearch", "torch", "optuna")},
            "steps_per_epoch": steps_per_epoch,
            **_budget(spec),
        }
        studies.create(connection, values)
        for where, recipe in spec.given_recipes():
            kind = "baseline" if where == "baseline" else "enqueued"
            fields = spec.recipe(recipe, batch_size=None, where=where).to_dict()
            studies.enqueue(connection, study_id, kind, fields)


def _refuse_other(
    spec: StudySpec, stored: StudySpec, loaded: LoadedTask, code: Mapping[str, str]
) -> None:
    changes = stored.differences(spec)
    changed = sorted(
        name for name in {*code, *loaded.code} if code.get(name) != loaded.code.get(name)
    )
    if changed and spec.code == "refuse":
        changes.append(f"code of {', '.join(changed)} (code: warn in the file goes on)")
    if changes:
        raise StudyError(
            f"study {spec.name!r} exists with another spec: {'; '.join(changes)}. Use --name to "
            f"start another study"
        )


def enqueue(search: Search, recipe: Mapping[str, Any], where: str) -> Recipe:
    """Let the next free worker train this recipe. Raises SpecError if it does not fit the study."""
    full = search.spec.recipe(recipe, batch_size=None, where=where)
    with search.database.begin() as connection:
        studies.enqueue(connection, search.study_id, "enqueued", full.to_dict())
    return full


def check_objective(spec: StudySpec, task: Task) -> None:
    """Raises SpecError if the objective is no metric of the task."""
    metric = spec.objective.metric
    if metric != "val_loss" and metric not in task.metrics:
        raise SpecError(
            f"objective.metric = {metric!r} is not a metric of the task"
            f"{near_miss(metric, ['val_loss', *task.metrics])}"
        )
