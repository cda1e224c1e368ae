"""Confirmation runs without a database: a planner's rounds with made-up values."""

from stored import confirmation_record, trial_record

from lrsearch.confirmation.plan import Setting, next_runs
from lrsearch.confirmation.runs import CHOOSE

SEED = 3  # of the search
CONSTANT = {"name": "constant"}


def run(number, seed, value, round_=CHOOSE, role="candidate", **fields):
    """An ended run as it is stored."""
    known = {
        "number": number,
        "seed": seed,
        "value": value,
        "round": round_,
        "role": role,
        "state": "complete" if value is not None else "diverged",
        "metrics": None if value is None else {"mae": value},
        "epochs": 4.0,
        "seconds": 1.0,
    }
    return confirmation_record(**{**known, **fields})


def setting(**changes):
    fields = {
        "runs": 30,
        "top": None,
        "baseline": None,
        "has_test": False,
        "tolerance": 0.0,
        "minimize": True,
        "first_seed": SEED + 1,
    }
    return Setting(**{**fields, **changes})


def rounds_of(plan, candidates, value, runs=()):
    """Plan and end rounds until none is due; their rows, round by round.

    `value` gives that of a row.
    """
    ended, rounds = list(runs), []
    while due := next_runs(plan, candidates, ended):
        rows = [run(r.number, r.seed, value(r), r.round, r.role, test=r.test) for r in due]
        ended += rows
        rounds.append(rows)
    return rounds


def trial(value=None, state="complete", lr=0.1, optimizer="sgd"):
    """A search trial as it is stored."""
    recipe = {"optimizer": {"name": optimizer, "lr": lr}, "schedule": CONSTANT}
    return trial_record(recipe=recipe, value=value, state=state)
