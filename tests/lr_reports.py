"""Reports of studies that never ran: trials, marks and runs that are made up."""

import math
import random

from stored import trial_record
from tiny_studies import EPOCHS, STEPS_PER_EPOCH, tiny_spec

from lrsearch.report.model import Report
from lrsearch.report.rows import OptimizerRangeTest, Trial
from lrsearch.spec.study_spec import StudySpec
from lrsearch.storage.records import RangeTestRecord, StudyRecord
from lrsearch.storage.rungs import Mark

SPACE = {
    "optimizers": {"sgd": {"momentum": 0.9}, "adamw": {}},
    "schedules": {"constant": {}, "cosine": {}},
}
#: Where `basin_trials` are best.
BEST = {"sgd": 0.05, "adamw": 3e-3}


def made_trial(number, lr, value=None, *, state="complete", optimizer="sgd", **changes):
    """A trial of the search as a report holds it; `schedule` by its name."""
    schedule = changes.pop("schedule", "constant")
    fields = changes.pop("fields", {"momentum": 0.9} if optimizer == "sgd" else {})
    recipe = {
        "optimizer": {"name": optimizer, "lr": lr, **fields},
        "schedule": {"name": schedule},
        "warmup": 0.0,
        "epochs": EPOCHS,
        "batch_size": 64,
        "params": {},
    }
    known = {
        "id": number + 1,
        "ticket": number + 1,
        "number": number,
        "recipe": recipe,
        "state": state,
        "value": value,
        "epochs": EPOCHS if state == "complete" else 0.5,
    }
    return Trial.of(trial_record(**{**known, **changes}))


def made_report(trials, *, marks=(), runs=(), range_tests=(), **changes):
    """A report of the tiny study with these fields changed. Marks are (trial, rung, signal)."""
    spec: StudySpec = tiny_spec(**{"space": SPACE, **changes})
    study = StudyRecord(
        study_id=1,
        name="made",
        definition={},
        spec_hash="",
        code={},
        versions={},
        state="open",
        steps_per_epoch=STEPS_PER_EPOCH,
        trials_total=len(trials),
        trials_used=len(trials),
        epochs_total=None,
        epochs_used=0.0,
        epochs_reserved=0.0,
        seconds_total=None,
        first_ask_at=0.0,
        created_at=0.0,
        origin=None,
        trials_ended=len(trials),
        trials_returned=0,
        exhausted_at=None,
        resume=None,
    )
    return Report(
        study=study,
        spec=spec,
        elapsed=1.0,
        may_start=False,
        trials=tuple(trials),
        runs=tuple(runs),
        range_tests=tuple(made_range_test(result) for result in range_tests),
        engines=(),
        audited=(),
        ends={},
        curves={},
        marks=tuple(Mark(number + 1, rung, signal) for number, rung, signal in marks),
    )


def made_range_test(result):
    return OptimizerRangeTest.of(
        RangeTestRecord(
            id=1,
            study_id=1,
            optimizer=result.name,
            seeds=len(result.ramps),
            epochs_reserved=0.0,
            state="complete",
            worker=None,
            attempt=1,
            result=result.to_dict(),
            reason=None,
            epochs=1.0,
            seconds=1.0,
            deaths=0,
        )
    )


def basin_trials(count, *, seed=0, pruned=0.0, diverges=True, sign=1.0):
    """Trials whose log loss is a parabola in log lr about BEST, some pruned, and their marks."""
    draw = random.Random(seed)
    trials, marks = [], []
    for number in range(count):
        optimizer = draw.choice(["sgd", "adamw"])
        apart = draw.uniform(-2.0, 1.5)
        lr = BEST[optimizer] * 10**apart
        loss = 0.2 * math.exp(0.5 * apart**2 + draw.gauss(0, 0.05))
        how = {"optimizer": optimizer, "schedule": draw.choice(["constant", "cosine"])}
        if diverges and apart > 1.0 + draw.gauss(0, 0.05):
            trials.append(made_trial(number, lr, state="diverged", **how))
            continue
        early = loss * 3 * math.exp(draw.gauss(0, 0.05))
        marks.append((number, 0, sign * early))
        if draw.random() < pruned and loss > 0.25:
            trials.append(made_trial(number, lr, sign * early, state="pruned", **how))
        else:
            trials.append(made_trial(number, lr, sign * loss, **how))
    return trials, marks
