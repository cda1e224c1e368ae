"""Audit: some trials that pruning would stop go on, and their ends tell how often it errs."""

import math
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

#: A study of fewer planned trials audits none: 5 % of what 100 trials prune, about 65, are three.
LEAST_TRIALS = 100
#: A trial among this best share of its study's started trials should not have been stopped.
BEST_SHARE = 0.05
#: Of fewer audited trials nothing is said: even if pruning erred in none of ten, the 95 % interval
#: reaches to 31 %.
LEAST_AUDITED = 10


def planned_trials(total: int | None, ticket: int) -> int:
    """How many trials a study has at least, as far as the trial with this ticket can tell.

    Where no total is given, as many as have been started by then: its ticket.
    """
    return ticket if total is None else total


def is_audited(*, seed: int, ticket: int, planned: int, share: float) -> bool:
    """Whether the trial goes on although a rung would stop it.

    The draw depends on the study's seed and the trial's ticket alone: it is the same at every rung,
    in every order, for every worker and after a takeover.
    """
    if planned < LEAST_TRIALS:
        return False
    return random.Random(f"audit {seed} {ticket}").random() < share


@dataclass(frozen=True, kw_only=True)
class Audited:
    """An audited trial that has ended by itself."""

    #: Its schedule's name.
    family: str
    #: At its end; lower is better. None if it diverged.
    loss: float | None


@dataclass(frozen=True, kw_only=True)
class Rate:
    """How many of the audited trials should not have been stopped."""

    audited: int
    false: int
    #: Exact 95 % interval of the share (Clopper and Pearson 1934), which covers at least so often
    #: however few there are. None if they are too few to tell.
    ci95: tuple[float, float] | None

    @property
    def share(self) -> float | None:
        """None if they are too few to tell."""
        return None if self.ci95 is None else self.false / self.audited


def falsely_pruned(
    audited: Iterable[Audited], *, losses: Sequence[float], started: int
) -> list[tuple[str, bool]]:
    """The family of each audited trial of a study, and whether it should not have been stopped.

    It should not if it ended among the study's best twentieth, rounded up, of the `started` trials:
    if fewer of the `losses`, those of the complete trials, are strictly lower. Trials that were
    stopped are not among them: what they would have reached is not known.
    """
    places = math.ceil(BEST_SHARE * started)
    return [
        (trial.family, trial.loss is not None and _below(losses, trial.loss) < places)
        for trial in audited
    ]


def _below(losses: Sequence[float], loss: float) -> int:
    return sum(other < loss for other in losses)


def rate(verdicts: Sequence[bool]) -> Rate:
    """The share of audited trials that should not have been stopped, True each."""
    false, audited = sum(verdicts), len(verdicts)
    if audited < LEAST_AUDITED:
        return Rate(audited=audited, false=false, ci95=None)
    return Rate(audited=audited, false=false, ci95=exact_interval(false, audited))


def exact_interval(count: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Clopper and Pearson's interval of the share that `count` of `n` draws estimate.

    Each end is the share at which so few, or so many, have half of the chance that is left out.
    """
    chance = (1 - confidence) / 2
    low = 0.0 if count == 0 else 1 - _share_with(chance, n - count, n)
    return low, 1.0 if count == n else _share_with(chance, count, n)


def _share_with(chance: float, count: int, n: int) -> float:
    """The share at which at most `count` of `n` draws, fewer than all, have this chance."""
    ways = [
        math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1) for k in range(count + 1)
    ]
    low, high = 0.0, 1.0
    while low < (share := (low + high) / 2) < high:
        logs = math.log(share), math.log1p(-share)
        at_most = sum(math.exp(w + k * logs[0] + (n - k) * logs[1]) for k, w in enumerate(ways))
        if at_most > chance:
            low = share
        else:
            high = share
    return low


def rates(verdicts: Sequence[tuple[str, bool]]) -> tuple[Rate, dict[str, Rate]]:
    """The rate of all, and of each family that has enough audited trials, by its name."""
    families = sorted({family for family, _ in verdicts})
    each = {name: rate([bad for family, bad in verdicts if family == name]) for name in families}
    known = {name: found for name, found in each.items() if found.ci95 is not None}
    return rate([bad for _, bad in verdicts]), known
