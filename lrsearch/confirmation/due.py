"""Which confirmation runs of a study are due now: a pure function of what is known of it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from lrsearch.confirmation import plan
from lrsearch.confirmation.budget import MOST_RUNS, allowed_runs
from lrsearch.confirmation.plan import Setting
from lrsearch.confirmation.runs import REPORT, PlannedRun, Run
from lrsearch.spec.study_spec import StudySpec
from lrsearch.trial import states
from lrsearch.trial.states import StudyState


class Counters(Protocol):
    """A study's state, and how much of its budget is used."""

    @property
    def state(self) -> str: ...
    @property
    def trials_counted(self) -> int: ...
    @property
    def epochs_total(self) -> float | None: ...
    @property
    def epochs_used(self) -> float: ...


@dataclass(frozen=True, kw_only=True)
class Lookup:
    """What is asked of the search's trials, and only when it matters."""

    #: The number of the user's own recipe.
    baseline: Callable[[], int | None]
    #: Numbers of the trials that are worth confirming, the best first.
    candidates: Callable[[Setting], Sequence[int]]
    #: The number of the trial that the runs so far recommend.
    recommended: Callable[[], int | None]
    #: The values of complete trials that have confirmation runs, by number; they tell who goes on,
    #: never whether anything is due.
    values: Callable[[], Mapping[int, float]] = dict


def due(
    spec: StudySpec,
    study: Counters,
    runs: Sequence[Run],
    look_up: Lookup,
    *,
    horizon: float,
    has_test: bool = False,
) -> list[PlannedRun]:
    """The runs that choose, then those that report, then the test's; the search is to be over.

    None are due while an earlier run is still to end, or the study is paused. `horizon` are the
    epochs of a full trial. `has_test` is whether the task has a test set; it is not asked for once
    the runs that report are there.
    """
    waiting = any(run.state in states.OPEN for run in runs)
    if waiting or study.state == StudyState.PAUSED or spec.confirm is None:
        return []
    if any(run.round == REPORT for run in runs):
        if not plan.test_is_due(runs):
            return []
        return plan.run_for_test(runs, look_up.recommended())
    most = _most_runs(spec, study, runs, horizon)
    setting = Setting(
        runs=min(spec.confirm.runs or MOST_RUNS, most),
        top=spec.confirm.candidates,
        baseline=look_up.baseline(),
        has_test=has_test,
        tolerance=spec.tolerance,
        minimize=spec.objective.direction == "minimize",
        first_seed=spec.seed + 1,
        own={number: spec.objective.loss(value) for number, value in look_up.values().items()},
    )
    if setting.runs == 0:
        return []
    return plan.next_runs(setting, [] if runs else look_up.candidates(setting), runs)


def _most_runs(spec: StudySpec, study: Counters, runs: Sequence[Run], horizon: float) -> int:
    """The same in all rounds: epochs that earlier ones have used count as left."""
    left = None
    if study.epochs_total is not None:
        left = study.epochs_total - study.epochs_used + sum(run.epochs for run in runs)
    return allowed_runs(spec, started=study.trials_counted, epochs_left=left, horizon=horizon)
