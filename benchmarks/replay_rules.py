"""Rules of stopping runs early, replayed: in which order they end, and what was spent by then."""

import math
from bisect import bisect_left, insort
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache, partial
from itertools import islice
from typing import NamedTuple

import optuna
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner
from optuna.samplers import RandomSampler
from optuna.trial import TrialState
from replay_table import Run, Table

from lrsearch.spec.pruning import Pruning
from lrsearch.trial import pruning, validations

optuna.logging.set_verbosity(optuna.logging.ERROR)

#: The defaults of the service.
PRUNING = Pruning()
#: Other rungs that were tried, as fractions of the horizon.
EARLIER, LATER = (0.03, 0.1, 0.33), (0.05, 0.15, 0.45)
#: Rungs of plain asynchronous halving, in epochs; the later ones for runs of 40 epochs or more.
SHORT, LONG, LONG_FROM = (1, 3, 9), (3, 9, 27), 40


class Ended(NamedTuple):
    """A run that reached its end."""

    #: Epochs of all runs by then.
    spent: float
    value: float


#: A rule over runs in this order: those that reach their ends, as they do.
Rule = Callable[[Sequence[Run]], Iterator[Ended]]
#: A horizon's epochs with a rung, rising, and which rung it is.
Placed = Callable[[int], Mapping[int, int]]


def no_pruning(order: Sequence[Run]) -> Iterator[Ended]:
    spent = 0
    for run in order:
        spent += run.epochs
        if not run.diverged:
            yield Ended(spent, run.value)


# Successive halving, judged by the service's own functions.


class Ladder:
    """What has arrived at each rung so far, and who goes on."""

    def __init__(self, *, families: bool = False) -> None:
        #: Whether the best of its family so far goes on, whatever the others are.
        self.families = families
        self.marks: dict[int, list[float]] = defaultdict(list)
        self.best: dict[tuple[int, str], float] = {}

    def arrive(self, run: Run, rung: int, signal: float) -> bool:
        """Whether a run goes on that is at this rung now."""
        best = self.best.get((rung, run.family), math.inf)
        self.best[rung, run.family] = min(best, signal)
        insort(self.marks[rung], signal)
        return self.passes(rung, signal) or (self.families and signal < best)

    def passes(self, rung: int, signal: float) -> bool:
        """Whether a run that has arrived goes on among all that have by now."""
        marks = self.marks[rung]
        return pruning.survives(
            better=bisect_left(marks, signal),
            others=len(marks) - 1,
            eta=PRUNING.eta,
            min_peers=PRUNING.min_peers,
        )


@cache
def at_progress(horizon: int, fractions: tuple[float, ...] = PRUNING.rungs) -> Mapping[int, int]:
    """Where the service's rungs fall if there is a validation each epoch."""
    return validations.make_plan(steps_per_epoch=1, total_steps=horizon, rungs=fractions).rungs


def at_epochs(table: Table) -> Placed:
    """The rungs of who compares at equal epochs."""
    epochs = LONG if table.mean_horizon >= LONG_FROM else SHORT
    return lambda horizon: {epoch: rung for rung, epoch in enumerate(epochs) if epoch < horizon}


class Stop(NamedTuple):
    """Where a run was stopped, or ended by itself."""

    epoch: int
    #: That stopped it; None at its own end.
    rung: int | None


def climb(run: Run, ladder: Ladder, placed: Placed, start: int = 0) -> Stop:
    """Train from an epoch on, as far as the rungs let it."""
    for epoch, rung in placed(run.horizon).items():
        arrives = start < epoch < run.epochs
        if arrives and not ladder.arrive(run, rung, run.signal[epoch - 1]):
            return Stop(epoch, rung)
    return Stop(run.epochs, None)


def halving(
    order: Sequence[Run], *, placed: Placed = at_progress, families: bool = False
) -> Iterator[Ended]:
    """Who is stopped stays stopped: the service's rule."""
    ladder, spent = Ladder(families=families), 0
    for run in order:
        stop = climb(run, ladder, placed)
        spent += stop.epoch
        if stop.rung is None and not run.diverged:
            yield Ended(spent, run.value)


def halving_raw(order: Sequence[Run]) -> Iterator[Ended]:
    """The service's rule, blind to averaged weights."""
    return halving([replace(run, signal=run.raw) for run in order])


def halving_with_diverged(order: Sequence[Run]) -> Iterator[Ended]:
    """Who has diverged counts as the worst at the first rung that it did not reach."""
    ladder, spent = Ladder(), 0
    for run in order:
        stop = climb(run, ladder, at_progress)
        spent += stop.epoch
        if stop.rung is None and not run.diverged:
            yield Ended(spent, run.value)
        elif stop.rung is None:
            missed = (r for epoch, r in at_progress(run.horizon).items() if epoch >= run.epochs)
            for rung in islice(missed, 1):
                ladder.marks[rung].append(math.inf)


def promoting(order: Sequence[Run]) -> Iterator[Ended]:
    """Who is stopped goes on, for the rest of its epochs, once it is among those that pass.

    As asynchronous halving does it (Li et al. 2020): before a new run is started, the best one at
    the highest rung is looked for that would pass by now.
    """
    ladder, spent = Ladder(), 0
    waiting: dict[int, list[tuple[float, int, int]]] = defaultdict(list)
    for fresh in range(len(order)):
        job: tuple[int, int] | None = (fresh, 0)
        while job is not None:
            number, start = job
            run = order[number]
            stop = climb(run, ladder, at_progress, start)
            spent += stop.epoch - start
            if stop.rung is not None:
                insort(waiting[stop.rung], (run.signal[stop.epoch - 1], number, stop.epoch))
            elif not run.diverged:
                yield Ended(spent, run.value)
            job = _promoted(ladder, waiting)


def _promoted(
    ladder: Ladder, waiting: Mapping[int, list[tuple[float, int, int]]]
) -> tuple[int, int] | None:
    """Which of those that wait goes on, and from which epoch; it waits no more."""
    for rung in sorted(waiting, reverse=True):
        if waiting[rung] and ladder.passes(rung, waiting[rung][0][0]):
            _, number, epoch = waiting[rung].pop(0)
            return number, epoch
    return None


# Optuna, as a plain user has it.


def by_optuna(order: Sequence[Run], *, pruner: BasePruner, name: str) -> Iterator[Ended]:
    """A real study: the raw signal is reported after each epoch; who diverges has failed."""
    study = optuna.create_study(study_name=name, sampler=RandomSampler(seed=0), pruner=pruner)
    spent = 0
    for run in order:
        trial, state = study.ask(), TrialState.COMPLETE
        for epoch in range(1, run.epochs + 1):
            spent += 1
            if run.diverged and epoch == run.epochs:
                state = TrialState.FAIL
                break
            trial.report(run.raw[epoch - 1], epoch)
            if trial.should_prune():
                state = TrialState.PRUNED
                break
        if state is TrialState.COMPLETE:
            study.tell(trial, run.value)
            yield Ended(spent, run.value)
        else:
            study.tell(trial, state=state)


def rules_of(table: Table, order: int) -> dict[str, Rule]:
    """Every rule by name, for the table's runs in an order of this number."""
    # The brackets of Optuna's Hyperband are drawn from the study's name.
    return {
        "asynchronous": halving,
        "none": no_pruning,
        "median": partial(by_optuna, pruner=MedianPruner(), name="median"),
        "hyperband": partial(by_optuna, pruner=HyperbandPruner(), name=f"hyperband {order}"),
        "asha-epochs": partial(halving, placed=at_epochs(table)),
        "earlier": partial(halving, placed=partial(at_progress, fractions=EARLIER)),
        "later": partial(halving, placed=partial(at_progress, fractions=LATER)),
        "raw": halving_raw,
        "promote": promoting,
        "family": partial(halving, families=True),
        "diverged": halving_with_diverged,
    }


RULES = {
    "asynchronous": "halving at schedule progress, with the defaults of the service",
    "none": "every run to its end",
    "median": "optuna.pruners.MedianPruner()",
    "hyperband": "optuna.pruners.HyperbandPruner()",
    "asha-epochs": "asynchronous at equal epochs: 1/3/9, or 3/9/27 from a mean horizon of 40 on",
    "earlier": "asynchronous with rungs at 3/10/33 %",
    "later": "asynchronous with rungs at 5/15/45 %",
    "raw": "asynchronous without averaged weights",
    "promote": "asynchronous; who was stopped goes on once it is among those that pass",
    "family": "asynchronous; the best of its family so far goes on in any case",
    "diverged": "asynchronous; a diverged run counts at the first rung that it did not reach",
}
