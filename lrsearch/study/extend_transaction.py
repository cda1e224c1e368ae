"""The transaction of `study extend`: a successor takes over the trials of a study."""

from collections.abc import Sequence, Set
from dataclasses import asdict, dataclass

from sqlalchemy import Connection

from lrsearch.confirmation.budget import reserved_share
from lrsearch.errors import StudyError
from lrsearch.plain_data import Document, Fields
from lrsearch.range_test.plan import ramp_plan
from lrsearch.spec.study_spec import StudySpec
from lrsearch.storage import (
    confirmations,
    projects,
    range_tests,
    studies,
    take_over_trials,
    trials,
)
from lrsearch.storage.range_tests import PlannedTest
from lrsearch.storage.records import BegunTrial, StudyRecord
from lrsearch.storage.take_over_trials import Taken
from lrsearch.study import warm_start
from lrsearch.study.create import (
    enqueue_given,
    insert_study,
    planned_range_tests,
    record_origin,
    versions_of,
)
from lrsearch.study.open_study import OpenStudy
from lrsearch.study.optuna import encoding as optuna_encoding
from lrsearch.study.optuna import gate
from lrsearch.study.optuna.attributes import FROM, RECIPE, TICKET
from lrsearch.study.optuna.sampler_units import OUTSIDE, Encoding
from lrsearch.study.optuna.storage import OptunaTrial
from lrsearch.study.optuna.writer import FAILED
from lrsearch.study.same_recipe import is_same
from lrsearch.study_name import project_or_default
from lrsearch.task.task import LoadedCode
from lrsearch.trial.states import MACHINE, OPEN, StudyState, TrialState

#: Kinds of trials that the user asked for one by one: no space ever bound them.
GIVEN = ("baseline", "enqueued")


@dataclass(frozen=True, kw_only=True)
class Extension:
    """What became of a study."""

    #: The study that goes on.
    name: str
    #: The study that the trials are from, by the name that it has now; None where `name` goes on as
    #: it is, because its file changed nothing that needs a successor.
    old: str | None
    #: Ended trials that the successor has, and those that lie outside its space.
    taken: int = 0
    left: int = 0
    #: Interrupted trials that start anew, and recipes that wait for their trial, theirs included.
    interrupted: int = 0
    waiting: int = 0
    #: Other studies' trials that the sampler knows.
    known: int = 0

    def to_dict(self) -> Document:
        return asdict(self)


class TakeOver:
    """One extension, inside its transaction."""

    def __init__(
        self,
        connection: Connection,
        search: OpenStudy,
        spec: StudySpec,
        loaded: LoadedCode,
        old: StudyRecord,
    ) -> None:
        self.connection, self.search, self.spec, self.old = connection, search, spec, old
        self.defaults = loaded.defaults()
        self.beside = spec.name != old.name
        #: By number: those of other studies first.
        self.optunas = search.all_trials()
        rows = self.rows = trials.everything(connection, search.study_id)
        #: In the order of their tickets; without those whose worker died with a ticket alone, and
        #: those that failed for their machine.
        self.ended = [
            begun
            for row in rows
            if row.state not in OPEN and row.kind != MACHINE and (begun := row.begun()) is not None
        ]
        self.running = [row for row in rows if row.state == TrialState.RUNNING]

    def refuse_running(self, held: Set[int]) -> None:
        """Raises StudyError while a worker trains. `held` are trials that none can take now."""
        busy = sum(row.worker is not None or row.id not in held for row in self.running)
        runs = len(confirmations.workers(self.connection, self.search.study_id))
        tests = len(range_tests.workers(self.connection, self.search.study_id))
        self._refuse_waiting()
        counts = {"trial": busy, "confirmation run": runs, "range test": tests}
        total = sum(counts.values())
        if not total:
            return
        what = [f"{n} {name}{'s' if n > 1 else ''}" for name, n in counts.items() if n]
        raise StudyError(
            f"study {self.search.name!r} cannot be extended while {' and '.join(what)} "
            f"run{'s' if total == 1 else ''}; `lrsearch study pause {self.search.name}` lets "
            f"no more start: wait for the end of these (lrsearch study show "
            f"{self.search.name}), or interrupt their workers"
        )

    def _refuse_waiting(self) -> None:
        """Their checkpoints are the old study's."""
        waiting = sum(row.state == TrialState.WAITING for row in self.rows)
        if waiting:
            name = self.search.name
            raise StudyError(
                f"study {name!r} cannot be extended while {waiting} of its trials wait at rungs; "
                f"let it end (`lrsearch worker {name}`), `lrsearch study stop {name}` ends it early"
            )

    @property
    def interrupted(self) -> list[tuple[str, Fields]]:
        """Kind and recipe of each trial to begin anew.

        One that was sampled outside the new space is given up.
        """
        return [
            (row.kind, row.recipe)
            for row in self.running
            if row.recipe and (row.kind in GIVEN or self._encode(row.recipe))
        ]

    def make(
        self, loaded: LoadedCode, steps_per_epoch: int, lessons: Sequence[warm_start.Lesson]
    ) -> Extension:
        old_name = self.old.name if self.beside else self._close()
        study_id = insert_study(
            self.connection,
            self.spec,
            steps_per_epoch,
            code=loaded.code,
            versions=versions_of(loaded),
        )
        studies.change(self.connection, study_id, resume=self.old.resume)
        self._retell_known(study_id)
        taken = self._take_trials(study_id)
        self._take_range_tests(study_id, steps_per_epoch)
        project = project_or_default(self.spec.project)
        projects.leave_out_copied(self.connection, study_id, project)
        self._enqueue(study_id, taken, lessons)
        left = len(self.ended) - len(taken)
        extended = {"study": old_name, "taken": len(taken), "left": left}
        record_origin(self.connection, study_id, lessons, extended)
        row = studies.by_id(self.connection, study_id)
        assert row is not None
        return Extension(
            name=self.spec.name,
            old=old_name,
            taken=len(taken),
            left=left,
            interrupted=0 if self.beside else len(self.interrupted),
            waiting=studies.queued(self.connection, study_id),
            known=row.origin["known"] if row.origin else 0,
        )

    def _close(self) -> str:
        """Rename the old study and end it; its new name."""
        name = self._free_name()
        # Idle workers of it end now: nothing more starts, and nothing is confirmed.
        spec = StudySpec.from_stored(self.old.definition)
        closed = spec.model_copy(update={"name": name, "confirm": None})
        studies.rename(self.connection, self.search.study_id, closed.to_dict())
        studies.set_state(self.connection, self.search.study_id, StudyState.STOPPED)
        reason = f"interrupted; starts anew in study {self.spec.name}, which extends this one"
        take_over_trials.end_interrupted(self.connection, self.search.study_id, reason)
        for row in self.running:
            if row.trial_id is not None:
                gate.writer(self.connection).end_trial(row.trial_id, FAILED)
        return name

    def _free_name(self) -> str:
        number = 1
        while studies.optuna_id(self.connection, f"{self.old.name}.{number}") is not None:
            number += 1
        return f"{self.old.name}.{number}"

    def _encode(self, recipe: Fields) -> Encoding | None:
        return optuna_encoding.encode(self.spec.space, recipe, self.defaults)

    def _retell_known(self, study_id: int) -> None:
        """What other studies taught the old one's sampler, as far as it is in the new space."""
        retold: list[OptunaTrial] = []
        for trial in self.optunas:
            recipe = trial.user_attrs.get(RECIPE)
            if recipe is None or FROM not in trial.user_attrs:
                continue
            encoding = self._encode(recipe)
            if encoding is not None:
                retold.append(optuna_encoding.retold(trial, encoding, trial.user_attrs))
        gate.writer(self.connection).insert_trials(study_id, retold)

    def _take_trials(self, study_id: int) -> list[Taken]:
        """Ended trials whose recipe lies in the new space, or that the user asked for."""
        kept: list[tuple[BegunTrial, Encoding]] = []
        for row in self.ended:
            encoding = self._encode(row.recipe)
            if encoding is None and row.kind in GIVEN:
                encoding = OUTSIDE
            if encoding is not None:
                kept.append((row, encoding))
        tickets = {row.id: ticket for ticket, (row, _) in enumerate(kept, start=1)}
        kept.sort(key=lambda item: item[0].number)
        retold = [
            optuna_encoding.retold(
                self.optunas[self.search.known + row.number],
                encoding,
                {TICKET: tickets[row.id], RECIPE: dict(row.recipe)},
            )
            for row, encoding in kept
        ]
        ids = gate.writer(self.connection).insert_trials(study_id, retold)
        taken = [
            Taken(
                row=row,
                ticket=tickets[row.id],
                number=number,
                trial_id=trial_id,
                kind=self._kind(row.kind, row.recipe),
            )
            for number, ((row, _), trial_id) in enumerate(zip(kept, ids, strict=True))
        ]
        with_rungs = self.spec.pruning is not None
        take_over_trials.take_over(self.connection, study_id, taken, with_rungs=with_rungs)
        return taken

    def _take_range_tests(self, study_id: int, steps_per_epoch: int) -> None:
        """Keep the range tests that would be the same in the new space, and plan the others."""
        planned = planned_range_tests(self.spec, steps_per_epoch)
        names = [test.optimizer for test in planned]
        same = [name for name in names if _is_same_test(self.search.spec, self.spec, name)]
        kept = take_over_trials.copy_range_tests(
            self.connection, self.search.study_id, study_id, same
        )
        new = [test for test in planned if test.optimizer not in kept]
        if self._leave_a_trial(study_id, new, steps_per_epoch):
            range_tests.add(self.connection, study_id, new)

    def _leave_a_trial(
        self, study_id: int, tests: Sequence[PlannedTest], steps_per_epoch: int
    ) -> bool:
        """Whether the epochs that are left pay for these range tests and a trial."""
        row = studies.by_id(self.connection, study_id)
        assert row is not None
        if row.epochs_total is None:
            return True
        horizon = self.spec.horizon_epochs(steps_per_epoch)
        cost = horizon + sum(test.epochs_reserved for test in tests)
        keep = reserved_share(self.spec, horizon)
        return bool(row.epochs_used + cost <= row.epochs_total * (1 - keep))

    def _kind(self, kind: str, recipe: Fields) -> str:
        """A baseline is one only while the file says so."""
        if kind != "baseline":
            return kind
        given = self.spec.baseline
        full = given and self.spec.recipe(given, batch_size=None, where="baseline").to_dict()
        return "baseline" if full and is_same(full, recipe) else "enqueued"

    def _enqueue(
        self, study_id: int, taken: Sequence[Taken], lessons: Sequence[warm_start.Lesson]
    ) -> None:
        """Recipes that wait: interrupted ones first, then the old queue, then the file's new."""
        queue = [] if self.beside else self.interrupted
        waiting = studies.waiting(self.connection, self.search.study_id)
        queue += [(row.kind, row.recipe) for row in waiting]
        present = [item.row.recipe for item in taken]
        for kind, recipe in queue:
            studies.enqueue(self.connection, study_id, self._kind(kind, recipe), recipe)
            present.append(recipe)
        given = enqueue_given(self.connection, study_id, self.spec, present)
        warm_start.apply(self.connection, study_id, lessons, given)


def _is_same_test(old: StudySpec, new: StudySpec, optimizer: str) -> bool:
    """Whether the optimizer's range test trains the same in both."""
    if optimizer not in old.space.optimizers:
        return False
    mine, theirs = ramp_plan(new, optimizer), ramp_plan(old, optimizer)
    return mine.lrs == theirs.lrs and mine.recipe(new, 0) == theirs.recipe(old, 0)
