"""Audit: some trials that pruning would stop go on, and their ends tell how often it errs."""

import random

#: A study of fewer planned trials audits none: 5 % of what 100 trials prune, about 65, are three.
LEAST_TRIALS = 100


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
