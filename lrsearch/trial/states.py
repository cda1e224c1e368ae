"""The states of a trial and of a study."""

from enum import StrEnum


class TrialState(StrEnum):
    """running <-> waiting; running -> complete | pruned | diverged | failed; an end is final.

    In Optuna a trial that waits runs; when nothing goes on any more it is pruned, in both.
    """

    RUNNING = "running"  #: a worker trains it, or will take it over
    WAITING = "waiting"  #: it stands at a rung with a checkpoint: see `trial.halving`
    COMPLETE = "complete"  #: trained to its horizon
    PRUNED = "pruned"  #: stopped at a rung
    DIVERGED = "diverged"  #: loss or weights left the finite, or the loss its bounds
    FAILED = "failed"  #: the task's code raised, or memory ran out


class StudyState(StrEnum):
    """open <-> paused; open | paused -> stopped -> open (resume)."""

    OPEN = "open"  #: new trials start while there is budget
    PAUSED = "paused"  #: workers wait
    STOPPED = "stopped"  #: no new trial starts; running ones end, then confirmation


#: The kind of a trial that failed for its machine and not for its recipe: it does not count.
MACHINE = "machine"
#: A planned range test or confirmation run that no worker has begun.
WAITING = TrialState.WAITING.value
#: States of a row that is still to end.
OPEN = (WAITING, TrialState.RUNNING.value)
