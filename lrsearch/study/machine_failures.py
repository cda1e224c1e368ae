"""Failures that are a machine's or a task's, and not a recipe's: told apart by who failed where.

A trial that fails before its first validation tells nothing of its learning rate. Where the worker
that had it trains nothing while another one does, the machine is to blame: the trial does not count
in the budget, and its recipe starts anew. Where nobody trains anything and all failures are alike,
the task is to blame: the study stops.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from sqlalchemy import Connection

from lrsearch.storage import machine_failures
from lrsearch.storage.machine_failures import Attempt
from lrsearch.trial.states import MACHINE

#: So many failures in a row, each before a validation, are no chance: where a tenth of the recipes
#: fails by itself, they are one in a thousand.
IN_A_ROW = 3


class Blame(StrEnum):
    """What a worker's failures are put down to."""

    RECIPE = "recipe"  #: nothing out of the ordinary: it goes on
    UNKNOWN = "unknown"  #: others still train their first trials: it waits for them
    MACHINE = "machine"
    TASK = "task"


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What is to blame for the failures of a worker."""

    blame: Blame
    #: Of its last failure.
    reason: str = ""
    #: How many failures that is judged by.
    failures: int = 0
    #: Ids of the trials that do not count, where the machine is to blame.
    trials: tuple[int, ...] = field(default=())


def judge(attempts: Sequence[Attempt], worker: str) -> Verdict:
    """What is to blame for the last failures of a worker; `attempts` are in the order of ends.

    The machine: its last `IN_A_ROW` trials or more failed before their first validation, another
    worker has validated a trial, and no worker that ever validated one has failed alike. The task:
    no trial has been validated by anyone, none runs elsewhere, and all that ended, `IN_A_ROW` or
    more, failed alike.
    """
    mine = [one for one in attempts if one.worker == worker and one.ended is not None]
    failed = _last_failures(mine)
    if not failed:
        return Verdict(blame=Blame.RECIPE)
    reason = (failed[-1].reason or "").removeprefix(f"{MACHINE}: ")
    others = [one for one in attempts if one.worker not in (worker, None)]
    returned = tuple(one.id for one in failed if one.kind != MACHINE)
    verdict = Verdict(blame=Blame.RECIPE, reason=reason, failures=len(failed), trials=returned)
    if len(returned) < len(failed):
        return _blaming(Blame.MACHINE, verdict)  # another worker has found so already
    if any(one.validated for one in others):
        known = _known_reasons(attempts, failed)
        is_machine = len(failed) >= IN_A_ROW and not any(_gist(one) in known for one in failed)
        return _blaming(Blame.MACHINE, verdict) if is_machine else verdict
    if any(one.validated for one in mine):
        return verdict
    ended = [one for one in attempts if one.ended is not None and one.kind != MACHINE]
    alike = all(one.failed_at_once and _gist(one) == _gist(failed[-1]) for one in ended)
    many = len(ended) >= IN_A_ROW and alike
    if (many or len(failed) >= IN_A_ROW) and any(one.ended is None for one in others):
        return _blaming(Blame.UNKNOWN, verdict)
    return _blaming(Blame.TASK, verdict, len(ended)) if many else verdict


def _blaming(blame: Blame, verdict: Verdict, failures: int | None = None) -> Verdict:
    count = verdict.failures if failures is None else failures
    return Verdict(blame=blame, reason=verdict.reason, failures=count, trials=verdict.trials)


def _last_failures(mine: Sequence[Attempt]) -> list[Attempt]:
    """The trials that a worker failed at once since the last that it did not."""
    failed: list[Attempt] = []
    for one in reversed(mine):
        if not one.failed_at_once:
            break
        failed.insert(0, one)
    return failed


def _known_reasons(attempts: Sequence[Attempt], but: Sequence[Attempt]) -> set[str]:
    """How trials have failed at workers that train: there it is the recipe's fault."""
    train = {one.worker for one in attempts if one.validated}
    left = {one.id for one in but}
    return {
        _gist(one)
        for one in attempts
        if one.failed_at_once and one.worker in train and one.id not in left
    }


def _gist(attempt: Attempt) -> str:
    """A reason without what differs from trial to trial: numbers, and addresses of objects."""
    return re.sub(r"0x[0-9a-f]+|\d+", "#", attempt.reason or "")


def judge_here(connection: Connection, study_id: int, worker: str) -> Verdict:
    """`judge` of this worker; what its machine is to blame for is given back to the budget."""
    verdict = judge(machine_failures.attempts(connection, study_id), worker)
    if verdict.blame == Blame.MACHINE:
        machine_failures.give_back(connection, study_id, verdict.trials)
    return verdict


def give_back_others(connection: Connection, study_id: int, worker: str) -> int:
    """Give back what failed at once elsewhere before this worker validated its first trial.

    These are the failures of workers that have trained nothing, and either ended by themselves or
    failed `IN_A_ROW` times; how many trials it was.
    """
    attempts = machine_failures.attempts(connection, study_id)
    failing = {one.worker for one in attempts if one.failed_at_once and one.worker is not None}
    trained = {one.worker for one in attempts if one.validated}
    if worker not in trained:
        return 0
    ended = machine_failures.gone(connection, study_id)
    returned: list[int] = []
    for other in failing - trained - {worker}:
        mine = [one for one in attempts if one.worker == other and one.ended is not None]
        failed = _last_failures(mine)
        known = _known_reasons(attempts, failed)
        few = len(failed) < IN_A_ROW and other not in ended
        if few or any(_gist(one) in known for one in failed):
            continue
        returned += [one.id for one in failed if one.kind != MACHINE]
    return machine_failures.give_back(connection, study_id, returned)
