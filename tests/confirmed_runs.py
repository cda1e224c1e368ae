"""Confirmation runs without a database: a planner's rounds with made-up values."""

from lrsearch.confirmation.plan import CHOOSE, Setting, next_runs

SEED = 3  # of the search
CONSTANT = {"name": "constant"}


def run(number, seed, value, round_=CHOOSE, role="candidate", **fields):
    """An ended run as its row says."""
    return {
        "number": number,
        "seed": seed,
        "value": value,
        "round": round_,
        "role": role,
        "state": "complete" if value is not None else "diverged",
        "metrics": None if value is None else {"mae": value},
        "test": None,
        "epochs": 4.0,
        "seconds": 1.0,
        **fields,
    }


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
        rows = [run(r["number"], r["seed"], value(r), r["round"], r["role"]) for r in due]
        rows = [{**row, "test": r.get("test")} for row, r in zip(rows, due, strict=True)]
        ended += rows
        rounds.append(rows)
    return rounds


def trial(value=None, state="complete", lr=0.1, optimizer="sgd"):
    """A trial's row, as far as a summary reads it."""
    recipe = {"optimizer": {"name": optimizer, "lr": lr}, "schedule": CONSTANT}
    return {"recipe": recipe, "value": value, "state": state}
