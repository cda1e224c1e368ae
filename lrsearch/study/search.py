"""A study as workers use it: ask for a trial, report at rungs, tell how it ended."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.trial import TrialState as OptunaState
from sqlalchemy import Connection

from lrsearch.errors import StudyError, near_miss
from lrsearch.range_plan import sampler_window
from lrsearch.recipe import Recipe
from lrsearch.rungs import divergence_limit, survives
from lrsearch.spec import CONFIRM_SHARE, StudySpec
from lrsearch.storage import curves, range_tests, studies, trials
from lrsearch.storage.connect import Database, explained
from lrsearch.storage.leases import Claim
from lrsearch.storage.rows import Row
from lrsearch.storage.tables import TrialState
from lrsearch.storage.trials import TICKET_ATTRIBUTE
from lrsearch.study.database import optuna_storage
from lrsearch.study.knowledge import START_VIOLATION, worst
from lrsearch.study.sampler import WindowedTPESampler, Windows
from lrsearch.values import best_validation, objective_value


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


class LostTrialError(Exception):
    """The trial belongs to another worker now; whoever gets this drops it and goes on."""


class Search:
    """A study, opened: what workers ask, report and tell."""

    def __init__(self, database: Database, row: Row) -> None:
        self.database = database
        self.study_id: int = row["study_id"]
        self.spec = StudySpec.from_stored(row["definition"])
        self.code: Mapping[str, str] = row["code"]
        #: Of lrsearch, torch and optuna where it was created.
        self.versions: Mapping[str, str] = row["versions"]
        self.steps_per_epoch: int = row["steps_per_epoch"]
        #: What it took over when it was created; None if nothing.
        self.origin: Mapping[str, Any] | None = row["origin"]
        #: Trials of other studies, which come first in Optuna and have no number here.
        self._known: int = self.origin["known"] if self.origin else 0
        #: Where range tests found learning rates that train, as far as they have ended.
        self.windows: Windows = {}
        self._range_tests_open = True
        self.study = optuna.load_study(
            study_name=row["name"], storage=optuna_storage(database), sampler=self._sampler(0)
        )
        if self.study._study_id != self.study_id:
            raise StudyError(f"study {row['name']!r} was extended just now; run the same again")

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
        return WindowedTPESampler(seed=seed, windows=self.windows)

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

    def ask(
        self, worker: str, batch_size: Callable[[Mapping[str, Any]], int | None]
    ) -> Assignment | None:
        """Claim a trial: an orphan if there is one, else a new one; None if the budget is used.

        `batch_size` tells the task's own for given params.
        """
        with self.database.begin() as connection:
            lease = self.spec.lease.seconds
            row = trials.take_over(connection, self.study_id, worker, lease) or trials.start(
                connection, self.study_id, worker, lease, horizon=self.horizon, keep=self._keep
            )
            if row is not None:
                self._look_at_range_tests(connection)
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

    def claim_range_test(self, worker: str) -> Row | None:
        """Claim a range test that nobody trains, while the study may still start a trial."""
        if not self._range_tests_open:
            return None
        with self.database.begin() as connection:
            self._look_at_range_tests(connection)
            if not self._range_tests_open or not self.may_start(connection):
                return None
            return range_tests.claim(connection, self.study_id, worker, self.spec.lease.seconds)

    def _look_at_range_tests(self, connection: Connection) -> None:
        """Take over the windows that were found since, until all range tests have ended."""
        if not self._range_tests_open:
            return
        rows = range_tests.windows_so_far(connection, self.study_id)
        self._range_tests_open = any(row["open"] for row in rows)
        found = [row["result"] for row in rows if row["result"] and row["result"]["window"]]
        self.windows = dict(
            sampler_window(
                self.spec.space.optimizers[result["optimizer"]["name"]],
                result["optimizer"],
                result["window"],
                result["batch_size"],
            )
            for result in found
        )

    def _begin(
        self, claim: Claim, row: Row, batch_size: Callable[[Mapping[str, Any]], int | None]
    ) -> Assignment:
        """Create the ticket's trial in Optuna, sample its recipe, and record both."""
        given = row["recipe"]
        fixed = None
        if given is not None:
            own = given.get("batch_size") or batch_size(given["params"])
            fixed = self.spec.space.params_of(given, own)
        trial_id = self._optuna_trial(row["ticket"], fixed)
        self.study.sampler = self._sampler(row["ticket"])
        trial = optuna.Trial(self.study, trial_id)
        if given is None or fixed is not None:
            sampled = self.spec.space.suggest(trial, batch_size)
        fields = sampled if given is None else given
        size = fields.get("batch_size") or batch_size(fields["params"])
        recipe = self.spec.recipe(fields, batch_size=size)
        number = trial.number - self._known
        with self.database.begin() as connection:
            trials.link(
                connection, claim, trial_id=trial_id, number=number, recipe=recipe.to_dict()
            )
        return Assignment(
            claim=claim, trial_id=trial_id, number=number, kind=row["kind"], recipe=recipe
        )

    def _optuna_trial(self, ticket: int, fixed: Mapping[str, Any] | None) -> int:
        with self.database.read() as connection:
            found = trials.optuna_trial_of(connection, self.study_id, ticket)
        if found is not None:
            self.study.get_trials(deepcopy=False)  # Optuna writes only to trials that it has seen
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
        # Not Trial.report: that reads the whole trial first, and warns where an earlier attempt has
        # reported.
        self.study._storage.set_trial_intermediate_value(trial_id, step, value)

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
            trial.set_constraint("diverged", START_VIOLATION - progress if infeasible else 0.0)
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
        objective, bad = self.spec.objective, worst(self.spec.objective)
        if objective.metric != "val_loss" or objective.direction == "maximize" or outcome is None:
            return bad
        limit = divergence_limit(outcome.start_loss)
        return limit if math.isfinite(limit) else bad

    def repair(self) -> None:
        """Tell Optuna the end of trials whose worker died between our write and Optuna's."""
        with self.database.read() as connection:
            rows = trials.untold(connection, self.study_id)
        for row in rows:
            self._tell_optuna(row["trial_id"], dict(row), None)

    def all_trials(self) -> list[optuna.trial.FrozenTrial]:
        """Optuna's trials by number: those of other studies first, then this one's."""
        return self.study.get_trials(deepcopy=False)

    def delete(self) -> None:
        """Remove the study from Optuna's tables; our rows refer to theirs and go with them."""
        # By its id: under its name there may be a successor by now.
        optuna_storage(self.database).delete_study(self.study_id)
