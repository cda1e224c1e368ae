"""A planned search whose trials are compared on a part of the validation set at early rungs."""

import math

import pytest
from side_by_side import calm_task
from tiny_studies import make_study, tiny_spec, tiny_task, worker_of

from lrsearch.errors import StudyError
from lrsearch.report.load import report_of
from lrsearch.report.summary import curve_rows, trial_rows
from lrsearch.report.text.answer import recipe_text
from lrsearch.report.text.trial_end import trial_ends
from lrsearch.spec.pruning import RungSamples
from lrsearch.storage import rungs
from lrsearch.storage.machine_failures import attempts
from lrsearch.study.create import create_study
from lrsearch.worker.stop_signal import Stop

#: Steps 1 and 3 of 12; an epoch has 6.
RUNGS = [0.08, 0.25]
#: Of 20 epochs for 10 runs.
PLANNED = {
    "epochs": 2,
    "validate_every": "auto",
    "pruning": {"rungs": RUNGS, "rule": "planned", "samples": 20},
    "budget": {"runs": 10},
    "confirm": "none",
}


@pytest.fixture(params=["off", 3], ids=["one by one", "together"])
def searched(request, database, tmp_path):
    search = make_study(database, **PLANNED, checkpoints=str(tmp_path / "kept"))
    worker_of(search, calm_task(), Stop(), fuse=request.param).run()
    return search


def test_what_rungs_show_decides_and_is_no_value_and_no_point_of_a_curve(searched):
    rows = trial_rows(searched)
    states = {
        state: [row for row in rows if row["state"] == state] for state in ("complete", "pruned")
    }
    assert len(rows) > 12
    assert len(states["complete"]) >= 2
    assert all(row["value"] is None and row["epochs"] in (1 / 6, 0.5) for row in states["pruned"])
    assert states["pruned"]
    with searched.database.read() as connection:
        marks = rungs.of_study(connection, searched.study_id)
        tried = attempts(connection, searched.study_id)
    assert {mark.trial for mark in marks if mark.rung == 0} == {row.id for row in tried}
    assert all(math.isfinite(mark.signal) for mark in marks)
    assert all(one.validated for one in tried)
    assert_curves_are_of_the_whole_set(searched)
    assert_the_report_says_on_how_many_samples(searched)


def assert_curves_are_of_the_whole_set(searched):
    rows = [row for row in trial_rows(searched) if row["state"] == "complete"]
    for row in rows:
        curve, _ = curve_rows(searched, number=row["trial"], all_attempts=False)
        assert [(point["validation"], point["step"]) for point in curve] == [(1, 6), (2, 12)]
        assert row["value"] == min(point["val_loss"] for point in curve)


def assert_the_report_says_on_how_many_samples(searched):
    report = report_of(searched)
    said = "At 8 and 25 % of a full training, near which no epoch ends, trials were compared on 20"
    assert said in recipe_text(report, verbose=True)
    pruned = next(trial for trial in report.trials if trial.state == "pruned")
    assert " on 20 validation samples, is place " in trial_ends(report)[pruned.id]


def test_a_study_goes_on_with_the_number_that_was_chosen_when_it_was_made(database):
    chosen = RungSamples(count=20, of=64, auto=True)
    make_study(database, **{**PLANNED, "pruning": {"rungs": RUNGS, "samples": chosen}})

    def again(samples):
        spec = tiny_spec(**{**PLANNED, "pruning": {"rungs": RUNGS, "samples": samples}})
        return create_study(database, spec, tiny_task(), steps_per_epoch=6, exist_ok=True)[0]

    for samples in ("auto", RungSamples(count=30, of=99, auto=True)):
        assert again(samples).spec.pruning.part == chosen
    with pytest.raises(StudyError, match=r"pruning\.samples.*--name"):
        again("all")
