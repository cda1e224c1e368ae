"""A study as it is read: one value, which JSON, text, page and pictures are made of."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from lrsearch.advice.cost import CostPlan, cost_plan
from lrsearch.confirmation.confirmed import Confirmed
from lrsearch.confirmation.due import Lookup, due
from lrsearch.confirmation.recommendation import summary
from lrsearch.confirmation.runs import BASELINE
from lrsearch.plain_data import Fields
from lrsearch.recipe.recipe import Recipe
from lrsearch.report.cost import BudgetPart, Parts, budget_of, epochs_spent, seconds_spent
from lrsearch.report.review import Advice, Audit, advice_of, audit_of
from lrsearch.report.rows import OptimizerRangeTest, Trial
from lrsearch.spec.study_spec import StudySpec
from lrsearch.storage.audited_trials import StudyEnds
from lrsearch.storage.records import (
    ConfirmationRecord,
    CurveRecord,
    EngineRecord,
    EventRecord,
    StudyRecord,
    WorkerRecord,
)
from lrsearch.storage.rungs import Mark
from lrsearch.trial import states
from lrsearch.trial.states import StudyState, TrialState

if TYPE_CHECKING:
    from lrsearch.report.figures.data.lr_trials import LrTrial
    from lrsearch.report.transfer import Transfer

#: Of so many faults a report knows; a study that has more has a machine to look at.
MOST_FAULTS = 200


@dataclass(frozen=True, kw_only=True)
class Report:
    """Everything that is read of a study, as it stood at one moment.

    What follows from the stored rows is computed when it is asked for, once.
    """

    study: StudyRecord
    spec: StudySpec
    #: Seconds since the first trial began, by the database's clock.
    elapsed: float
    #: Whether the study is open and its budget has another trial.
    may_start: bool
    #: By ticket.
    trials: tuple[Trial, ...]
    #: Confirmation runs.
    runs: tuple[ConfirmationRecord, ...]
    #: In the order of the space; empty if the study has none.
    range_tests: tuple[OptimizerRangeTest, ...]
    #: In the order in which they were chosen.
    engines: tuple[EngineRecord, ...]
    #: Of this study and others of its project: audited trials, and how all ended, by study.
    audited: tuple[Trial, ...]
    ends: Mapping[int, StudyEnds]
    #: By the id of each trial that is drawn; empty if they were not asked for.
    curves: Mapping[int, tuple[CurveRecord, ...]]
    #: What trials left at rungs, by the trial's id and the rung.
    marks: tuple[Mark, ...] = ()
    #: How trials of a script go on after an interruption, in words: `exact`, `approximate (NAMES)`,
    #: `not proven`; None for a task, whose trials always go on exactly.
    resume: str | None = None
    #: Everyone who ever worked on it, in the order in which they began.
    workers: tuple[WorkerRecord, ...] = ()
    #: Work that was lost with a worker and what was done, the newest first, at most MOST_FAULTS.
    faults: tuple[EventRecord, ...] = ()
    #: URL of the database, without a password; empty where it is not known.
    storage: str = ""
    #: Of a ladder: its complete trials, each with the value that its other objective would give.
    other_trials: tuple[Trial, ...] = ()

    @property
    def name(self) -> str:
        return self.study.name

    @property
    def metric(self) -> str:
        """What the objective measures."""
        return self.spec.objective.metric

    @property
    def versions(self) -> Mapping[str, str]:
        """Package to version at the study's creation, and the git commit of its code if known."""
        return self.study.versions

    @property
    def origin(self) -> Fields | None:
        """What it took over when it was created, as stored; None if nothing."""
        return self.study.origin

    @cached_property
    def plan(self) -> CostPlan:
        """Epochs at most."""
        return cost_plan(self.spec, self.study.steps_per_epoch)

    @cached_property
    def budget(self) -> tuple[BudgetPart, ...]:
        return budget_of(self.study, self.spec, self.elapsed)

    @cached_property
    def epochs(self) -> Parts:
        """Trained so far."""
        return epochs_spent(self.trials, self.range_tests, self.runs)

    @cached_property
    def seconds(self) -> Parts:
        """Of training so far, summed over workers."""
        return seconds_spent(self.trials, self.range_tests, self.runs)

    @cached_property
    def counts(self) -> Mapping[str, int]:
        """How many trials are in each state; every state has a number."""
        found = Counter(trial.state for trial in self.trials)
        return {state.value: found[state.value] for state in TrialState}

    @cached_property
    def ranked(self) -> tuple[Trial, ...]:
        """Complete trials, the best first; of equals the earlier."""
        scored = [(t.value, t) for t in self.trials if t.is_scored and self._is_whole(t)]
        known = [(value, trial) for value, trial in scored if value is not None]
        best_first = sorted(known, key=lambda item: self.spec.objective.loss(item[0]))
        return tuple(trial for _, trial in best_first)

    def _is_whole(self, trial: Trial) -> bool:
        """Whether a trial has the study's horizon: those of a ladder have shorter ones too."""
        ladder = self.spec.ladder
        return ladder is None or (trial.recipe or {}).get(ladder.unit) == ladder.to

    @property
    def best(self) -> Trial | None:
        """The search's best complete trial."""
        return self.ranked[0] if self.ranked else None

    @property
    def recommended(self) -> Recipe | None:
        """The confirmed recipe, else the search's best; None while there is none."""
        if self.winner is not None:
            return Recipe.from_dict(self.winner.recipe)
        return None if self.best is None else self.best.parsed

    @cached_property
    def lr_trials(self) -> "tuple[LrTrial, ...]":
        """Ended trials of the study's horizon by their learning rate."""
        from lrsearch.report.figures.data.lr_trials import (
            lr_trials,  # numpy: not for who only reads
        )

        horizon = self.spec.horizon_epochs(self.study.steps_per_epoch)
        whole = [trial for trial in self.trials if self._is_whole(trial)]
        return lr_trials(whole, self.marks, self.spec, horizon)

    @property
    def recommended_trial(self) -> int | None:
        """The number of its trial."""
        if self.winner is not None:
            return self.winner.trial
        return None if self.best is None else self.best.number

    @cached_property
    def baseline(self) -> Trial | None:
        """The user's own recipe."""
        return next((trial for trial in self.trials if trial.kind == "baseline"), None)

    def trial(self, number: int) -> Trial | None:
        return next((trial for trial in self.trials if trial.number == number), None)

    @cached_property
    def confirmed(self) -> tuple[Confirmed, ...]:
        """The recommended recipe first; empty until confirmed."""
        return summary(self.runs, self.trials, self.spec)

    @property
    def winner(self) -> Confirmed | None:
        """The recommended one."""
        return self.confirmed[0] if self.confirmed else None

    @property
    def confirmed_baseline(self) -> Confirmed | None:
        return next((entry for entry in self.confirmed if entry.role == BASELINE), None)

    @cached_property
    def audit(self) -> Audit:
        """How often pruning erred."""
        return audit_of(self.study.study_id, self.audited, self.ends)

    @cached_property
    def advice(self) -> Advice:
        """What more trials would bring, and where the answer lies at an edge."""
        return advice_of(self.spec, self.trials, self.range_tests, self.best, self.confirmed)

    @cached_property
    def state(self) -> str:
        """open | paused | finished: nothing of it runs, and nothing more will start."""
        if self.study.state == StudyState.PAUSED:
            return "paused"
        return "finished" if self._is_over() else "open"

    @property
    def reason(self) -> str | None:
        """Why it is finished: budget | stopped | exhausted, where every recipe has its trial.

        A ladder ends with `budget`, whether its runs needed all of it or not.
        """
        if self.state != "finished":
            return None
        if self.study.state == StudyState.STOPPED:
            return "stopped"
        is_open = self.study.exhausted_at is None or self.spec.ladder is not None
        return "budget" if is_open else "exhausted"

    def _is_over(self) -> bool:
        trains = any(not trial.has_ended for trial in self.trials)
        confirms = any(run.state in states.OPEN for run in self.runs)
        tests = any(
            test.state == TrialState.RUNNING and test.worker is not None
            for test in self.range_tests
        )
        if trains or confirms or tests or self.may_start or self._ladder_goes_on():
            return False
        look_up = Lookup(
            baseline=lambda: None if self.baseline is None else self.baseline.number,
            candidates=lambda _: [
                trial.number for trial in self.ranked if trial.number is not None
            ],
            recommended=lambda: None if self.winner is None else self.winner.trial,
        )
        return not due(self.spec, self.study, self.runs, look_up, horizon=self.plan.horizon)

    def _ladder_goes_on(self) -> bool:
        """Whether more runs of a ladder follow those that have ended."""
        if self.spec.ladder is None or self.study.state == StudyState.STOPPED:
            return False
        from lrsearch.transfer.ended import due_runs  # numpy: not for who only reads

        return bool(due_runs(self.spec, self.trials))

    @cached_property
    def transfer(self) -> "Transfer | None":
        """What its ladder says; None of any other study."""
        if self.spec.ladder is None:
            return None
        from lrsearch.report.transfer import transfer_of  # numpy: not for who only reads

        return transfer_of(self.spec, self.trials, self.other_trials)
