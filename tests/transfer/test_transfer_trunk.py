"""Runs of a ladder that go on from shorter ones: the same bits, fewer epochs, the same words."""

from dataclasses import replace

import pytest
import torch
from known_laws import LADDER, Law, trained
from tiny_studies import STEPS_PER_EPOCH, make_study, opened, tiny_spec, tiny_task, worker_of

from lrsearch.errors import SpecError
from lrsearch.long_run.model_file import kept_weights
from lrsearch.recipe.recipe import Recipe
from lrsearch.report.load import report_of
from lrsearch.report.rows import Trial
from lrsearch.report.text.transfer import plan_text
from lrsearch.storage import curves, studies, trials
from lrsearch.study.checkpoint_cleanup import store_of
from lrsearch.study.create_ladder import make_ladder
from lrsearch.study.trunk import trunk_of
from lrsearch.training.checkpoint_state import unpack
from lrsearch.training.start import start_training
from lrsearch.training.task_cache import TaskCache
from lrsearch.transfer.asked import Asked, asked_study
from lrsearch.transfer.plan import expected_cost, next_runs, paid, worst_cost
from lrsearch.transfer.successor import keep_step, ladder_of
from lrsearch.transfer.trunk import Trunk
from lrsearch.trial.states import TrialState

WSD = {
    "optimizer": {"name": "sgd", "lr": 0.05, "momentum": 0.9},
    "schedule": {"name": "wsd", "decay": 0.25, "shape": "linear"},
    "warmup": 0.1,
}
TRUNK = Trunk(schedule={"name": "wsd", "decay": 0.2}, warmup_steps=0, steps_per_unit=100)
SHARED = replace(LADDER, trunk=TRUNK)


def spec_of(recipe=WSD, *, trunk=True, name=None, **asked):
    spec = tiny_spec(transfer={"trunk": trunk, "objective": "last"})
    full = spec.recipe(recipe, batch_size=None)
    return asked_study(spec, full, Asked(**{"to": 8, "name": name, **asked}), STEPS_PER_EPOCH)


def rows_of(study):
    with study.database.read() as connection:
        return trials.everything(connection, study.study_id)


@pytest.fixture
def climbed(sqlite_url):
    """A ladder with a trunk, trained one by one."""
    with opened(sqlite_url) as database:
        study = make_ladder(make_study(database), spec_of(probes=0))
        worker_of(study, tiny_task(), fuse="off").run()
        yield study


def whole_run(study, row):
    """The same recipe trained from step 0: where it ends, and its curve."""
    cache = TaskCache(tiny_task(), torch.device("cpu"))
    training = start_training(study.spec, Recipe.from_dict(row.recipe), cache)
    curve = []
    while not training.done:
        training.advance(training.next_validation)
        curve.append(training.validate(with_ema=training.wants_average))
    return training, curve


def bits(curve):
    return [replace(each.alone(), seconds=0.0).stored() for each in curve]


def test_each_run_has_the_bits_and_the_curve_of_one_from_step_0(climbed):
    rows = rows_of(climbed)
    whole = [row for row in rows if row.state == TrialState.COMPLETE]
    branched = [row for row in whole if row.epochs < row.recipe["epochs"]]
    assert {row.recipe["epochs"] for row in branched} == {2, 4}
    for row in branched:
        training, curve = whole_run(climbed, row)
        with climbed.database.read() as connection:
            ours = curves.of_trial(connection, row.id)
        assert bits(ours) == bits(curve)
        kept = kept_weights(climbed, Trial.of(row)).weights
        assert all(torch.equal(kept[k], v) for k, v in training.model.state_dict().items())
    check_budget(climbed, rows)
    check_trunk(climbed, branched[0])


def check_trunk(climbed, row):
    """A run that goes on from it knows where it began, also once it was interrupted itself."""
    recipe = Recipe.from_dict(row.recipe)
    cache = TaskCache(tiny_task(), torch.device("cpu"))
    first, later = (start_training(climbed.spec, recipe, cache) for _ in range(2))
    assert unpack(first, trunk_of(climbed, recipe), branches=True) is not None
    assert first.began == first.step > 0
    first.advance(first.next_validation)
    assert unpack(later, first.pack()) == []
    assert (later.began, later.step) == (first.began, first.step)
    assert later.own_epochs == (later.step - later.began) / STEPS_PER_EPOCH
    store = store_of(climbed)
    store.remove(store.names())
    assert trunk_of(climbed, recipe) is None


def check_budget(climbed, rows):
    """It counts what is trained."""
    report = report_of(climbed)
    with climbed.database.read() as connection:
        row = studies.by_id(connection, climbed.study_id)
    total = sum(trial.epochs for trial in rows)
    assert row.epochs_used == pytest.approx(total)
    assert row.epochs_reserved == 0
    diverged = [trial for trial in rows if trial.state == TrialState.DIVERGED]
    lost = sum(trial.recipe["epochs"] - trial.epochs for trial in diverged)
    assert total <= report.transfer.cost.total <= total + lost + 1e-9
    assert total < sum(trial.recipe["epochs"] for trial in rows)
    assert total <= worst_cost(ladder_of(climbed.spec)).total


def test_runs_leave_their_trunk_where_they_begin_to_decay():
    spec = spec_of()
    recipe = Recipe.from_dict({**spec.ladder.recipe, "epochs": 2})
    assert spec.ladder.recipe["warmup_steps"] == 2  # a tenth of the study's 24 steps
    assert "warmup" not in spec.ladder.recipe
    assert keep_step(spec, recipe) == 2 + 7  # three quarters of the 10 steps after warm-up
    assert keep_step(spec, recipe.model_copy(update={"epochs": 8})) is None
    assert keep_step(spec_of(trunk=False), recipe) is None
    assert spec.checkpoints.keep_weights


def test_all_horizons_try_the_same_rates_and_cost_less():
    runs = trained(SHARED, Law(slope=-1 / 3, at_first=0.06).train)
    rates = {run.horizon: {run.lr for run in runs if run.horizon == run.horizon} for run in runs}
    assert all(each <= rates[1] | {max(each), min(each)} for each in rates.values())
    cost = paid(SHARED, runs)
    assert cost.total < sum(run.horizon for run in runs)
    expected = expected_cost(SHARED)
    assert expected.ladder == pytest.approx(9 + 5 * 1.2 + 5 * 2.4 + 3 * 4.8)
    assert expected.probes == pytest.approx(3 * (64 - 6.4))
    assert worst_cost(SHARED) == worst_cost(LADDER)


def test_a_run_whose_trunk_diverged_counts_as_whole():
    due = next_runs(SHARED, [])
    first = Law(slope=0.0).train(due[0])
    longer = replace(first, horizon=2)
    assert paid(SHARED, [first, longer]).total == pytest.approx(1 + 2 - 0.8)
    assert paid(SHARED, [replace(first, loss=None), longer]).total == 3


def test_the_plan_says_that_the_most_is_without_a_trunk():
    spec = spec_of()
    text = plan_text(spec.name, ladder_of(spec), "epochs")
    assert "trunk: runs go on from a shorter one of their learning rate" in text


@pytest.mark.parametrize(
    ("recipe", "asked", "words"),
    [
        ({**WSD, "schedule": "cosine"}, {}, "its schedule is cosine; only runs of wsd"),
        ({**WSD, "batch_size": 16}, {"batch_size": 32}, "runs with other batches share no steps"),
        ({**WSD, "warmup": 0.3}, {}, "warm-up of its recipe takes 7 steps, and the shortest runs"),
    ],
)
def test_what_shares_no_trunk_is_refused_in_a_line(recipe, asked, words):
    with pytest.raises(SpecError) as found:
        spec_of(recipe, **asked)
    assert words in str(found.value)
    assert len(str(found.value).splitlines()) == 1


def test_a_warm_up_in_steps_does_not_stretch_and_is_refused_without_a_trunk():
    fixed = {**{k: v for k, v in WSD.items() if k != "warmup"}, "warmup_steps": 3}
    assert spec_of(fixed).ladder.recipe["warmup_steps"] == 3
    with pytest.raises(SpecError, match="its warm-up is 3 steps whatever the horizon"):
        spec_of(fixed, trunk=False)
