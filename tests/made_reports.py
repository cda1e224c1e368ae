"""Reports of made-up studies without a database: trials and runs as they would be stored."""

from stored import confirmation_record, trial_record
from tiny_studies import STEPS_PER_EPOCH, tiny_spec

from lrsearch.report.model import Report
from lrsearch.report.rows import Trial
from lrsearch.storage.audited_trials import StudyEnds
from lrsearch.storage.records import StudyRecord

BASELINE = {"optimizer": {"name": "adamw", "lr": 1e-3}, "schedule": {"name": "constant"}}
ACCURACY = {"metric": "accuracy", "direction": "maximize"}
SEED = 3  # of the first confirmation run


def study_record(spec, **changes):
    """An open study with a budget of 12 trials, of which none was started."""
    fields = {
        "study_id": 1,
        "name": spec.name,
        "definition": spec.to_dict(),
        "spec_hash": "",
        "code": {},
        "versions": {"lrsearch": "1"},
        "state": "open",
        "steps_per_epoch": STEPS_PER_EPOCH,
        "trials_total": spec.budget.trials,
        "trials_used": 0,
        "epochs_total": spec.budget.epochs,
        "epochs_used": 0.0,
        "epochs_reserved": 0.0,
        "seconds_total": None,
        "first_ask_at": None,
        "created_at": 0.0,
        "origin": None,
        "trials_ended": 0,
        "trials_returned": 0,
        "exhausted_at": None,
        "resume": None,
    }
    return StudyRecord(**{**fields, **changes})


def trial(
    number, value=None, state="complete", *, lr=0.1, name="sgd", schedule="constant", **fields
):
    """A search trial with a recipe; a baseline or one of the portfolio is that by its `kind`."""
    recipe = {
        "optimizer": {"name": name, "lr": lr},
        "schedule": {"name": schedule},
        "warmup": 0.0,
        "epochs": 4,
        "batch_size": 64,
        "params": {},
    }
    known = {"id": number + 1, "ticket": number + 1, "number": number, "recipe": recipe}
    worker = "host:1:1" if state == "running" else None
    return Trial.of(
        trial_record(**{**known, "value": value, "state": state, "worker": worker, **fields})
    )


def runs_of(number, values, role="winner", **fields):
    """Runs that report, on the same seeds for all roles; a value of None is a run that failed."""
    return [
        confirmation_record(
            round="report",
            role=role,
            number=number,
            seed=SEED + i,
            value=value,
            state="complete" if value is not None else "diverged",
            metrics=None if value is None else {"mae": 0.2},
            **fields,
        )
        for i, value in enumerate(values)
    ]


def made_report(trials=(), runs=(), *, finished=True, study=None, told=None, spec=None, **changes):
    """The report of these rows; `changes` are of the tiny spec, which `spec` may replace.

    `told` stands in place of what follows from the rows. A finished study was stopped.
    """
    spec = spec or tiny_spec(**{"range_test": "none", **changes})
    counters = {"trials_used": len(trials), "state": "stopped" if finished else "open"}
    record = study_record(spec, **{**counters, **(study or {})})
    fields = {
        "study": record,
        "spec": spec,
        "elapsed": 0.0,
        "may_start": not finished,
        "trials": tuple(trials),
        "runs": tuple(runs),
        "range_tests": (),
        "engines": (),
        "audited": (),
        "ends": {1: StudyEnds(direction=spec.objective.direction, started=0, values=())},
        "curves": {},
    }
    made = type("MadeReport", (Report,), told or {})
    return made(**fields)
