"""Which optimizers get a range test, what it trains and costs, and the sampler's window for it."""

from types import SimpleNamespace

import pytest

from lrsearch.catalog.optimizers import OPTIMIZERS
from lrsearch.confirmation.budget import reserved_runs, reserved_share
from lrsearch.errors import SpecError
from lrsearch.preflight import measure
from lrsearch.range_test.plan import LEAST_STEPS, MOST_STEPS, ramp_plan, range_plan
from lrsearch.range_test.windows import sampler_window
from lrsearch.spec.study_spec import StudySpec

STUDY = {"name": "small", "task": "task.py:task", "epochs": 30, "budget": {"trials": 60}}
LR = {"low": 1e-3, "high": 1.0, "log": True}


def spec_of(optimizers, **changes):
    return StudySpec.from_dict({**STUDY, "space": {"optimizers": optimizers}, **changes})


def plan_of(optimizers=("sgd", "adamw"), steps_per_epoch=40, **changes):
    return range_plan(spec_of(list(optimizers), **changes), steps_per_epoch)


# Which, and how many


def test_every_optimizer_whose_lr_is_a_range_is_tested():
    optimizers = {
        "sgd": {},
        "adamw": {"lr": 1e-3},
        "rmsprop": {"lr": [1e-3, 3e-3, 1e-2]},
        "adam": {},
    }
    plan = range_plan(spec_of(optimizers), 40)
    assert [test.name for test in plan.tests] == ["sgd", "adam"]
    assert plan.skipped == ""
    fixed = range_plan(spec_of({"sgd": {"lr": 0.1}}), 40)
    assert (fixed.tests, fixed.epochs, fixed.skipped) == ((), 0, "no lr is a range")


def test_none_is_none():
    plan = plan_of(range_test="none")
    assert (plan.tests, plan.epochs, plan.skipped) == ((), 0, "none wanted")


@pytest.mark.parametrize("trials", [2, 5, 8, 20, 40, 60, 1000])
def test_seeds_are_as_many_as_3_percent_of_the_budget_pay_for(trials):
    plan = plan_of(budget={"trials": trials})
    most = 0.03 * trials * 30
    steps = [len(test.lrs) for test in plan.tests]
    assert len(set(steps)) == 1
    assert LEAST_STEPS <= steps[0] <= MOST_STEPS
    assert plan.epochs == pytest.approx(plan.seeds * sum(steps) / 40)
    assert plan.epochs <= most + 1e-6
    assert plan.seeds == max(n for n in (1, 3, 5) if n * sum(steps) / 40 <= most + 1e-6)
    assert (plan.skipped, plan.untested) == ("", ())


def test_a_share_that_is_small_shortens_ramps_then_leaves_optimizers_out():
    def tested(steps_per_epoch, **changes):
        plan = plan_of(("sgd", "rmsprop", "adamw"), steps_per_epoch, budget={"runs": 5}, **changes)
        return [(test.name, len(test.lrs)) for test in plan.tests], plan.untested

    # 3 % of 5 runs of 30 epochs are 4.5 epochs.
    assert tested(40) == ([("sgd", 60), ("adamw", 60), ("rmsprop", 60)], ())
    assert tested(22) == ([("sgd", 33), ("adamw", 33), ("rmsprop", 33)], ())
    assert tested(14) == ([("sgd", 31), ("adamw", 31)], ("rmsprop",))
    assert tested(7) == ([("sgd", 31)], ("adamw", "rmsprop"))
    # Without a portfolio in the space's own order.
    assert tested(7, portfolio="none") == ([("sgd", 31)], ("rmsprop", "adamw"))
    plan = plan_of(steps_per_epoch=6, budget={"runs": 5})
    assert plan.skipped == "one of 30 steps is 5 epochs, 3 % are 4.5"


@pytest.mark.parametrize("runs", [1, 2, 5, 9, 10, 20])
def test_a_budget_of_whole_runs_is_raised_by_its_range_test(runs):
    spec = spec_of(["adamw"], budget={"runs": runs})
    plan = range_plan(spec, 1000)
    assert plan.epochs
    assert plan.epochs <= 0.03 * runs * 30 + 1e-9
    total = runs * 30 + plan.extra
    left = total * (1 - reserved_share(spec, 30)) - plan.epochs
    if runs < 10:
        assert left == pytest.approx((runs - reserved_runs(spec, 30)) * 30)
        assert total <= 1.05 * runs * 30
    else:
        assert plan.extra == 0
    assert range_plan(spec_of(["adamw"], budget={"epochs": runs * 30}), 1000).extra == 0


def test_the_lower_bound_of_a_budget_counts_and_time_pays_for_one_seed():
    assert plan_of(budget={"trials": 1000, "epochs": 10}).skipped
    assert plan_of(budget={"trials": 2, "epochs": 10_000}).seeds == 1
    assert plan_of(budget={"epochs": 10_000}).seeds == 5
    assert plan_of(budget={"time": "1m"}).seeds == 1


def test_a_range_test_leaves_room_for_a_trial():
    one = {"steps_per_epoch": 4000}
    assert plan_of(budget={"epochs": 30.01}, **one).skipped == "it leaves no trial"
    assert plan_of(budget={"epochs": 31}, **one).skipped == ""


# What is trained


def test_ramps_start_a_hundredth_below_the_middle_of_the_range():
    ramp = ramp_plan(spec_of(["sgd"]), "sgd")
    assert ramp.lrs[0] == pytest.approx(10**-1.5 / 100)
    assert len(ramp.lrs) == 60
    own = ramp_plan(spec_of({"adamw": {"lr": {"low": 1e-6, "high": 1e-3, "log": True}}}), "adamw")
    assert own.lrs[0] == pytest.approx(10**-4.5 / 100)
    # Rates above the preset's are tried from the preset's on.
    own = ramp_plan(spec_of({"adamw": {"lr": {"low": 0.1, "high": 10.0, "log": True}}}), "adamw")
    assert own.lrs[0] == pytest.approx(10**-2.5 / 100)


def test_lower_rates_have_the_steps_that_are_left():
    plan = ramp_plan(spec_of(["sgd"]), "sgd")
    lower = plan.lower(8)
    assert lower.lrs[0] == pytest.approx(plan.lrs[0] / 1e4)
    assert (len(lower.lrs), lower.optimizer) == (52, plan.optimizer)
    assert lower.lrs[-1] > plan.lrs[8]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_can_be_tested_as_the_presets_have_it(name):
    ema = {"epochs": 1, "deploy": True}
    space = {"optimizers": [name], "schedules": ["constant"]}
    spec = StudySpec.from_dict({**STUDY, "space": space, "seed": 3, "clip_norm": 1.0, "ema": ema})
    plan = ramp_plan(spec, name)
    recipe = plan.recipe(spec, seed=7)
    assert recipe.optimizer["lr"] == plan.lrs[0]
    assert (recipe.seed, recipe.clip_norm, recipe.ema, recipe.weights) == (7, 1.0, None, "raw")
    assert (recipe.epochs, recipe.steps) == (None, len(plan.lrs))


def test_what_the_space_fixes_is_trained_with_the_rest_is_textbook():
    def trained(fields, name="sgd"):
        return ramp_plan(spec_of({name: fields}), name).optimizer

    assert trained({}) == {"name": "sgd", "momentum": 0.9}
    assert trained({"momentum": [0.8, 0.95, 0.99]}) == {"name": "sgd", "momentum": 0.9}
    fields = {"momentum": 0.5, "nesterov": True, "weight_decay": 1e-4}
    assert trained(fields) == {"name": "sgd", **fields}
    assert trained({"momentum": 0.0, "nesterov": False}) == {"name": "sgd", "momentum": 0.0}
    assert trained({"beta1": 0.8}, "adamw") == {"name": "adamw", "betas": [0.8, 0.999]}
    assert trained({"betas": [0.8, 0.9]}, "adamw") == {"name": "adamw", "betas": [0.8, 0.9]}


def test_params_have_a_value():
    spec = StudySpec.from_dict({**STUDY, "space": {"params": {"width": [8, 16], "depth": 2}}})
    assert ramp_plan(spec, "sgd").recipe(spec, 0).params == {"width": 8, "depth": 2}


# The window


def window_of(fields, name="sgd", batch_size=64):
    spec = spec_of({name: fields})
    plan = ramp_plan(spec, name)
    return sampler_window(spec.space.optimizers[name], plan.optimizer, (0.01, 0.1), batch_size)


@pytest.mark.parametrize("lr", [{}, {"lr": LR}], ids=["preset", "own"])
def test_the_window_of_sgd_is_in_momentum_equivalent_lr(lr):
    assert window_of(lr) == ("sgd.lr", pytest.approx((0.01, 0.1)))
    # At momentum 0 a step is a tenth as long, so that lr 0.1 there is 0.01 at 0.9.
    assert window_of({**lr, "momentum": 0.0}) == ("sgd.lr", pytest.approx((0.001, 0.01)))
    assert window_of({**lr, "momentum": 0.99}) == ("sgd.lr", pytest.approx((0.1, 1.0)))
    # A batch of 128 takes twice the lr of one of 64.
    assert window_of(lr, batch_size=128) == ("sgd.lr", pytest.approx((0.005, 0.05)))


def test_the_window_of_an_optimizer_whose_step_does_not_grow_with_momentum_is_lrs_own():
    assert window_of({}, "muon", batch_size=8) == ("muon.lr", (0.01, 0.1))
    assert window_of({}, "adamw") == ("adamw.lr", (0.01, 0.1))


def test_an_optimizer_whose_lr_cannot_rise_gets_no_range_test():
    space = {"optimizers": ["rprop", "sgd"], "schedules": ["constant"]}
    spec = StudySpec.from_dict({**STUDY, "space": space})
    assert [test.name for test in range_plan(spec, 100).tests] == ["sgd"]
    checked = SimpleNamespace(spec=spec)
    assert measure.tested_optimizers(checked, None) == ["sgd"]
    with pytest.raises(SpecError, match=r"^--optimizer rprop: rprop reads lr at its first step"):
        measure.tested_optimizers(checked, "rprop")


def test_a_momentum_that_lr_does_not_follow_widens_the_window():
    # Tested at torch's momentum 0; at 0.9 the same step needs a tenth of the lr.
    assert window_of({}, "rmsprop") == ("rmsprop.lr", pytest.approx((0.001, 0.1)))
    assert window_of({"momentum": 0.9}, "rmsprop") == ("rmsprop.lr", pytest.approx((0.01, 0.1)))
    momentum = {"low": 0.0, "high": 0.9}
    assert window_of({"momentum": momentum}, "rmsprop")[1] == pytest.approx((0.001, 0.1))


def test_the_window_of_an_optimizer_without_momentum_is_torchs_lr():
    assert window_of({}, "adamw") == ("adamw.lr", (0.01, 0.1))
