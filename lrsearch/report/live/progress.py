"""How far a study is and how long it will take, as values that bars and views draw."""

from dataclasses import dataclass
from math import fsum

from lrsearch.report.live.snapshot import Snapshot
from lrsearch.report.text.format import number
from lrsearch.trial import states
from lrsearch.trial.states import TrialState

#: Trials that must have ended before anything is said of what is left.
LEAST_ENDED = 3
#: What a trial's share of the search is called, by its kind.
SHARES = {
    "baseline": "your own recipes",
    "enqueued": "your own recipes",
    "warm_start": "recipes of earlier studies",
    "portfolio": "portfolio",
    "sampled": "exploration",
}
#: States of trials whose numbers stand beside the bar.
NOTED = (TrialState.WAITING, TrialState.PRUNED, TrialState.DIVERGED, TrialState.FAILED)


@dataclass(frozen=True, kw_only=True)
class Confirmed:
    """How far the confirmation of a study is, in runs."""

    done: int
    planned: int
    #: What its runs are for: to choose, to report, to test.
    round: str


@dataclass(frozen=True, kw_only=True)
class Used:
    """A budget of a study: what is used of it, and its total, in its unit."""

    #: `trials`, `epochs` or `seconds`.
    unit: str
    used: float
    total: float


@dataclass(frozen=True, kw_only=True)
class StudyProgress:
    """How far a study is, in the unit of its budget."""

    #: Those of the budget of which the most is used, see `Used`.
    unit: str
    used: float
    total: float
    #: What runs, how trials ended, and the best value so far.
    note: str
    #: None before the first run that confirms.
    confirmed: Confirmed | None
    #: About how many seconds the study still takes, confirmation included; None: not known yet.
    left_seconds: float | None

    @property
    def title(self) -> str:
        """`search`, and the unit where that is not trials."""
        return "search" if self.unit == "trials" else f"search ({self.unit})"


def study_progress(shown: Snapshot) -> StudyProgress:
    """How far the study is."""
    nearest = nearest_budget(shown)
    return StudyProgress(
        unit=nearest.unit,
        used=nearest.used,
        total=nearest.total,
        note=", ".join(_notes(shown)),
        confirmed=_confirmed(shown),
        left_seconds=left_seconds(shown),
    )


def budgets(shown: Snapshot) -> list[Used]:
    """The budgets that the study has."""
    study, found = shown.study, []
    if study.trials_total is not None:
        ended = study.trials_counted - len(shown.running) - len(shown.waiting)
        found.append(Used(unit="trials", used=ended, total=study.trials_total))
    if study.epochs_total is not None:
        found.append(Used(unit="epochs", used=study.epochs_used, total=study.epochs_total))
    if study.seconds_total is not None:
        elapsed = min(shown.elapsed, study.seconds_total)
        found.append(Used(unit="seconds", used=elapsed, total=study.seconds_total))
    return found


def nearest_budget(shown: Snapshot) -> Used:
    """The budget of which the most is used."""
    found = max(budgets(shown), key=lambda part: part.used / part.total)
    return Used(unit=found.unit, used=min(found.used, found.total), total=found.total)


def left_seconds(shown: Snapshot) -> float | None:
    """About how long the study still takes at the pace of the trials that ended last.

    It is what is left to train at most, with the confirmation that the study's plan has: a study
    that ends sooner (every recipe has its trial, or fewer runs are worth confirming) takes less.
    None where too few trials have ended, nobody works, or the study waits.
    """
    if shown.phase in ("paused", "finished") or not shown.present:
        return None
    pace = epochs_per_second(shown)
    if pace is None:
        return None
    return _left(shown, pace)


def _left(shown: Snapshot, pace: float) -> float:
    plan = shown.plan
    if shown.runs and not shown.running:
        return shown.open_runs * plan.horizon / pace
    each = fsum(trial.epochs for trial in shown.recent) / len(shown.recent)
    ends = []
    for part in budgets(shown):
        left = max(0.0, part.total - part.used)
        if part.unit == "trials":
            ends.append((left * each + plan.confirm) / pace)
        elif part.unit == "epochs":
            ends.append(left / pace)
        else:
            ends.append(left + plan.confirm / pace)
    return min(ends)


def epochs_per_second(shown: Snapshot) -> float | None:
    """Epochs of ended trials by the clock, over all workers; None before enough have ended.

    The time counts from the end of the first trial of those that are looked at to that of the last.
    They ended under the workers that are present: before these the study may have rested.
    """
    begun = min((worker.started_at for worker in shown.present), default=shown.now)
    ended = [(trial.ended_at or 0.0, trial.epochs) for trial in shown.recent]
    ended = [(at, epochs) for at, epochs in ended if at >= begun]
    if len(ended) < LEAST_ENDED:
        return None
    times = [at for at, _ in ended]
    epochs, seconds = fsum(epochs for _, epochs in ended[1:]), max(times) - times[0]
    return epochs / seconds if epochs > 0 and seconds > 0 else None


def share_of(shown: Snapshot) -> str:
    """What of the search is being trained: `portfolio and exploration`; "" while no trial runs."""
    kinds = {trial.kind for trial in shown.running}
    return " and ".join(dict.fromkeys(name for kind, name in SHARES.items() if kind in kinds))


def _notes(shown: Snapshot) -> list[str]:
    share = share_of(shown)
    notes = [share] if share else []
    notes += [
        f"range test of {test.optimizer}"
        for test in shown.tests
        if test.state == TrialState.RUNNING
    ]
    notes += [f"{shown.counts[state]} {state}" for state in NOTED if shown.counts[state]]
    if shown.best is not None:
        notes.append(f"best {shown.metric} {number(shown.best.value)}")
    return notes


def _confirmed(shown: Snapshot) -> Confirmed | None:
    if not shown.runs:
        return None
    done = sum(run.state not in states.OPEN for run in shown.runs)
    return Confirmed(done=done, planned=len(shown.runs), round=shown.runs[-1].round)
