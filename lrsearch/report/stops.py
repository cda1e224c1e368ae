"""Where each pruned trial was stopped, and what it was compared with there."""

import math
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lrsearch.report.rows import Trial
from lrsearch.spec.pruning import Pruning
from lrsearch.storage.rungs import Mark
from lrsearch.trial.pruning import survives
from lrsearch.trial.states import TrialState

#: States of trials that have not gone on from where they left their last mark.
HELD = (TrialState.PRUNED, TrialState.WAITING)


@dataclass(frozen=True, kw_only=True)
class Stop:
    """A pruned trial at the rung that stopped it, beside all trials that have come there by now.

    The rule saw those that had come when it did; the order of arrivals is not stored.
    """

    #: 0-based.
    rung: int
    #: The rung's place, as a share of a full training.
    share: float
    #: Its objective there as a loss, of which lower is better; that of the averaged weights where
    #: it is better. None where neither was finite.
    loss: float | None
    #: 1: the best of those that have come, all with a finite loss and this trial.
    place: int
    came: int
    #: The highest loss that goes on by now; None where no loss was finite.
    needed: float | None
    #: One in so many goes on.
    eta: float
    #: How many of those that came have gone on.
    went_on: int
    #: Whether it would go on by now.
    passes_now: bool


def stops(
    trials: Sequence[Trial], marks: Sequence[Mark], pruning: Pruning | None
) -> Mapping[int, Stop]:
    """By the trial's id, of pruned trials with a mark at a rung of this study."""
    if pruning is None:
        return {}
    last: dict[int, Mark] = {}
    finite: defaultdict[int, list[float]] = defaultdict(list)
    for mark in sorted(marks, key=lambda mark: (mark.rung, mark.signal)):
        last[mark.trial] = mark
        if math.isfinite(mark.signal):
            finite[mark.rung].append(mark.signal)
    states = {trial.id: trial.state for trial in trials}
    went_on = Counter(
        mark.rung
        for mark in marks
        if mark is not last[mark.trial] or states.get(mark.trial) not in HELD
    )
    needed = {rung: _needed(losses, pruning) for rung, losses in finite.items()}
    pruned = [trial.id for trial in trials if trial.state == TrialState.PRUNED]
    found = [last[trial] for trial in pruned if trial in last]
    return {
        mark.trial: _stop(
            mark, finite[mark.rung], needed.get(mark.rung), pruning, went_on[mark.rung]
        )
        for mark in found
        if mark.rung < len(pruning.rungs)
    }


def _needed(losses: Sequence[float], pruning: Pruning) -> float | None:
    """The highest of these losses, the best first, that goes on among them."""
    going_on = None
    for loss in losses:
        better = bisect_left(losses, loss)
        others = len(losses) - 1
        if not survives(better=better, others=others, eta=pruning.eta, min_peers=pruning.min_peers):
            break
        going_on = loss
    return going_on


def _stop(
    mark: Mark, losses: Sequence[float], needed: float | None, pruning: Pruning, went_on: int
) -> Stop:
    """`losses` are those at the rung, the best first."""
    is_finite = math.isfinite(mark.signal)
    return Stop(
        rung=mark.rung,
        share=pruning.rungs[mark.rung],
        loss=mark.signal if is_finite else None,
        place=bisect_left(losses, mark.signal) + 1,
        came=len(losses) + (not is_finite),
        needed=needed,
        eta=pruning.eta,
        went_on=went_on,
        passes_now=is_finite and needed is not None and mark.signal <= needed,
    )
