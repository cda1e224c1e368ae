"""Why each trial ended: the same sentence on the page, in `trial show` and in JSON."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_reports import ACCURACY, made_report, runs_of, trial
from stored import confirmation_record

from lrsearch.report.documents import trial_documents
from lrsearch.report.stops import stops
from lrsearch.report.text.page import WHY, trial_table
from lrsearch.report.text.trial_end import trial_ends
from lrsearch.spec.pruning import Pruning
from lrsearch.storage.rungs import Mark
from lrsearch.trial.pruning import survives

LOSSES = st.one_of(st.sampled_from([0.1, 0.2, 0.3, math.inf]), st.floats(0.0, 1.0))


def marked(*signals, rung=0):
    """Trial 0 has the first of these losses at the rung, and so on."""
    return tuple(Mark(i + 1, rung, signal) for i, signal in enumerate(signals))


def ends(trials, runs=(), marks=(), **changes):
    """The sentence of each trial, by number."""
    report = replace(made_report(trials, runs, **changes), marks=marks)
    found = trial_ends(report)
    return {trial.number: found[trial.id] for trial in report.trials}


def test_a_pruned_trial_is_set_beside_those_that_came_to_its_rung():
    trials = [trial(0, 0.5, "pruned", epochs=0.4)] + [trial(i, 0.1) for i in range(1, 6)]
    marks = marked(0.5, 0.1, 0.2, 0.3, 0.4, math.inf, rung=1)
    found = ends(trials, marks=marks, pruning={"rungs": [0.04, 0.11], "eta": 2.5})
    assert found[0] == (
        "Pruned at 11 % of a full training (0.4 epochs): its val_loss there, 0.5, is place 5 of "
        "the 5 that have come there. One trial in 2.5 goes on, of those that came before it; of "
        "all that have come it would take 0.2 or less."
    )


def test_of_a_metric_that_is_to_rise_more_is_better():
    trials = [trial(0, 0.5, "pruned", epochs=1)] + [trial(i, 0.9) for i in range(1, 4)]
    found = ends(trials, marks=marked(-0.5, -0.9, -0.8, -0.7), objective=ACCURACY)
    assert found[0] == (
        "Pruned at 15 % of a full training (1 epoch): its accuracy there, 0.5, is place 4 of "
        "the 4 that have come there. One trial in 3 goes on, of those that came before it; of all "
        "that have come it would take 0.9 or more."
    )


def test_a_value_of_averaged_weights_is_called_that():
    trials = [trial(0, 0.7, "pruned", epochs=1)] + [trial(i, 0.1) for i in range(1, 4)]
    found = ends(trials, marks=marked(0.5, 0.1, 0.2, 0.3))
    assert (
        "there, 0.5 (of its raw or averaged weights, the better), is place 4 of the 4" in found[0]
    )


def test_a_trial_that_would_go_on_by_now_is_said_to_have_come_early():
    trials = [trial(0, 0.2, "pruned", epochs=1)] + [trial(i, 0.9) for i in range(1, 7)]
    marks = marked(0.2, 0.1, 0.5, 0.6, 0.7, 0.8, 0.9)
    assert ends(trials, marks=marks)[0].endswith(
        "its val_loss there, 0.2, is place 2 of the 7 that have come there. One trial in 3 goes "
        "on, of those that came before it, and it was not among them."
    )


@pytest.mark.parametrize(
    ("one", "sentence"),
    [
        (trial(0, None, "diverged", reason="training loss 9 is above 2 at step 3"),
         "Diverged: training loss 9 is above 2 at step 3."),
        (trial(0, None, "failed", reason="RuntimeError: no\nmemory"),
         "Failed: RuntimeError: no memory."),
        (trial(0, 0.5, "pruned", reason="stopped by lrsearch trial stop"),
         "Stopped by lrsearch trial stop."),
        (trial(0, None, "failed", kind="machine", reason="machine: OSError: disk"),
         "Failed for its machine and does not count: machine: OSError: disk."),
        (trial(0, None, "running"), "Still trains."),
        (replace(trial(0, None, "running"), worker=None), "Waits for a worker to go on with it."),
        (replace(trial(0, None, "running"), recipe=None), "Has no recipe yet."),
        (trial(0, 0.5, "pruned", epochs=2), "Pruned after 2 epochs; no reason is stored."),
        (trial(0, 0.5, audited_at=0, epochs=4),
         "Trained to its end, to measure how often pruning errs: a rung at 15 % of a full training "
         "would have stopped it; place 1 of 1 complete trials."),
    ],
)  # fmt: skip
def test_every_end_has_its_sentence(one, sentence):
    assert ends([one]) == {0: sentence}


def test_a_rung_without_a_finite_loss_says_so():
    trials = [trial(0, None, "pruned", epochs=1), trial(1, 0.1), trial(2, 0.2)]
    found = ends(trials, marks=marked(math.inf, 0.1, 0.2))
    assert (
        found[0]
        == "Pruned at 15 % of a full training (1 epoch): its val_loss there was not finite."
    )


def chosen(number, *values):
    """Runs that choose, on the same seeds."""
    return [
        confirmation_record(
            round="choose", role="candidate", number=number, seed=10 + i, value=value,
            state="complete",
        )
        for i, value in enumerate(values)
    ]  # fmt: skip


def test_confirmation_says_whom_it_dropped_and_what_the_kept_ones_had():
    trials = [trial(i, 0.1 * (i + 1)) for i in range(4)]
    runs = [
        *chosen(0, 0.11, 0.12), *chosen(1, 0.2, 0.3), *chosen(2, 0.5),
        *runs_of(0, [0.1, 0.12, 0.14]), *runs_of(1, [0.2, 0.22, 0.24], "rival"),
    ]  # fmt: skip
    found = ends(trials, runs)
    assert found[0].endswith(
        "place 1 of 4 complete trials. Confirmation: recommended, mean 0.12 of 3 fresh seeds."
    )
    assert found[1].endswith(
        "Confirmation: the runner-up, mean 0.22 of 3 fresh seeds; the recommended one has 0.12."
    )
    assert found[2].endswith(
        "Confirmation: dropped after 1 seed: mean 0.5, place 3 of 3; the best 2 went on, with "
        "0.11 to 0.2."
    )
    assert found[3].endswith("Not among the 3 recipes trained on fresh seeds.")


def test_the_table_and_json_say_the_same():
    report = made_report([trial(0, 0.1), trial(1, None, "diverged", reason="loss is not finite")])
    table = trial_table(report, report.trials, reasons=True)
    assert table.columns[-1] == WHY
    said = [row[-1] for row in table.rows]
    assert said == [document["why"] for document in trial_documents(report)]
    assert said[1] == "Diverged: loss is not finite."


@given(
    st.lists(LOSSES, min_size=1, max_size=25),
    st.sampled_from([1.5, 2.0, 3.0, 4.0]),
    st.integers(2, 5),
)
def test_places_and_limits_are_those_of_the_rule(losses, eta, min_peers):
    """Beside a count over all trials, asking the rule of pruning about each."""
    pruning = Pruning(eta=eta, min_peers=min_peers)
    trials = [trial(i, 0.5, "pruned") for i in range(len(losses))]
    found = stops(trials, marked(*losses), pruning)

    def goes_on(loss, others):
        better = sum(other < loss for other in others)
        return survives(better=better, others=len(others), eta=eta, min_peers=min_peers)

    finite = [loss for loss in losses if math.isfinite(loss)]
    for i, loss in enumerate(losses):
        others = [x for j, x in enumerate(losses) if j != i and math.isfinite(x)]
        stop = found[i + 1]
        assert stop.place == 1 + sum(x < loss for x in others)
        assert stop.came == len(others) + 1
        if math.isfinite(loss):
            assert stop.passes_now == goes_on(loss, others)
    best = [x for i, x in enumerate(losses) if math.isfinite(x) and found[i + 1].passes_now]
    assert found[1].needed == (max(best) if finite else None)
