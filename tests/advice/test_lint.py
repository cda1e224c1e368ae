"""What a study costs at most, and what in it is legal but looks like a mistake."""

from pathlib import Path

import pytest

from lrsearch.advice.cost import cost_plan
from lrsearch.advice.lint import Scale, lint
from lrsearch.spec.study_spec import StudySpec

STUDY = {
    "name": "small",
    "task": "task.py:task",
    "epochs": 30,
    "budget": {"trials": 60},
    "range_test": "none",
}
STEPS_PER_EPOCH = 40
SCALE = Scale(steps_per_epoch=STEPS_PER_EPOCH, batch_size=64)
STUDIES = Path(__file__).parents[2] / "studies"


def spec_of(**changes):
    content = {**STUDY, **changes}
    return StudySpec.from_dict({k: v for k, v in content.items() if v is not None})


def plan_of(**changes):
    return cost_plan(spec_of(**changes), STEPS_PER_EPOCH)


# The plan


def test_trials_bound_the_search_and_a_quarter_of_them_its_confirmation():
    plan = plan_of()
    assert (plan.horizon, plan.trials, plan.range_test) == (30, 60, 0)
    assert plan.search == 60 * 30
    assert plan.confirm_runs == 15
    assert plan.confirm == 15 * 30
    assert plan.total == 60 * 30 + 15 * 30


def test_a_range_test_is_part_of_the_plan():
    plan = plan_of(range_test="auto", space={"optimizers": ["adamw"]})
    assert plan.no_range_test == ""
    assert 0 < plan.range_test <= 0.03 * 60 * 30
    assert plan.total == 60 * 30 + 15 * 30 + plan.range_test


def test_steps_are_told_in_epochs():
    plan = plan_of(epochs=None, steps=100)
    assert plan.horizon == 100 / STEPS_PER_EPOCH
    assert plan.search == 60 * 2.5


def test_confirmation_asks_for_no_more_than_30_runs_by_itself():
    assert plan_of(budget={"trials": 400}).confirm_runs == 30


@pytest.mark.parametrize(
    ("confirm", "runs"),
    [
        ("none", 0),
        ("auto", 15),
        ({"runs": 5}, 5),
        ({"runs": 100}, 15),  # never more than a quarter
        ({"top": 5}, 15),
    ],
)
def test_the_file_may_ask_for_fewer_runs(confirm, runs):
    plan = plan_of(confirm=confirm)
    assert plan.confirm_runs == runs
    assert plan.total == 1800 + 30 * runs


def test_total_epochs_bound_search_and_confirmation_together():
    plan = plan_of(budget={"trials": 60, "epochs": 900})
    assert plan.search == 690  # 7 runs are kept for confirmation, a quarter would be 7.5
    assert plan.confirm == 15 * 30  # when pruning leaves it so much
    assert plan.total == 900
    assert plan_of(budget={"epochs": 900}, confirm="none").search == 900


def test_the_lower_bound_counts():
    assert plan_of(budget={"trials": 2, "epochs": 9000}).search == 60
    assert plan_of(budget={"trials": 600, "epochs": 90}).search == 90


def test_without_a_number_of_trials_30_runs_confirm_at_most():
    plan = plan_of(budget={"time": "20m"})
    assert (plan.trials, plan.search, plan.total) == (None, None, None)
    assert plan.confirm == 30 * 30
    plan = plan_of(budget={"epochs": 9000})
    assert (plan.trials, plan.search, plan.confirm, plan.total) == (None, 8100, 900, 9000)


@pytest.mark.parametrize(
    ("total", "confirm", "runs"),
    [(359, "auto", 0), (360, "auto", 3), (300, {"runs": 1}, 1), (119, {"runs": 1}, 0)],
    ids=["too few", "three", "asked for", "more than a quarter"],
)
def test_epochs_are_kept_for_whole_runs_that_give_an_interval(total, confirm, runs):
    plan = plan_of(budget={"epochs": total}, confirm=confirm)
    assert (plan.confirm_runs, plan.search) == (runs, total - 30 * runs)


def test_a_study_of_few_trials_has_no_run_to_confirm_with():
    assert plan_of(budget={"trials": 3}).confirm_runs == 0
    assert plan_of(budget={"trials": 4}).confirm_runs == 1


def test_runs_are_the_epochs_of_so_many_full_trials():
    runs, epochs = plan_of(budget={"runs": 20}), plan_of(budget={"epochs": 600})
    assert runs.most_epochs == epochs.most_epochs == 600
    assert (runs.search, runs.confirm_runs) == (360, 8)  # 0.4 of them confirm
    assert (epochs.search, epochs.confirm_runs) == (450, 5)  # a quarter
    assert (runs.trials, runs.runs, epochs.runs) == (None, 20, None)
    assert 30 < runs.expected_trials < epochs.expected_trials
    assert plan_of(budget={"runs": 20}, pruning="none").expected_trials == 12
    assert plan_of(budget={"time": 60}).expected_trials is None


# Warnings


def warnings(**changes):
    return lint(spec_of(**changes), SCALE)


def only(lines, *parts):
    """The one warning, which has these parts."""
    (line,) = lines
    assert "\n" not in line
    for part in parts:
        assert part in line
    return True


def sgd(**fields):
    return {"optimizers": {"sgd": {"momentum": 0.9, **fields}}, "schedules": {"cosine": {}}}


def lr(low, high, log=True):
    return {"low": low, "high": high, "log": log}


def test_the_default_study_has_no_warnings():
    assert warnings() == []


@pytest.mark.parametrize("path", sorted(STUDIES.glob("*.yaml")), ids=lambda path: path.stem)
def test_the_example_studies_have_no_warnings(path):
    assert lint(StudySpec.load(path), SCALE) == []


def test_lr_on_a_linear_scale():
    found = warnings(space=sgd(lr=lr(1e-3, 1.0, log=False)))
    assert only(found, "space.optimizers.sgd.lr", "log scale", "top decade")


def test_lr_in_steps_is_meant_so():
    assert warnings(space=sgd(lr={"low": 0.1, "high": 0.5, "step": 0.1})) == []


@pytest.mark.parametrize("values", [0.1, [0.1, 0.2, 0.3]])
def test_a_fixed_lr_or_choices_are_meant_so(values):
    assert warnings(space=sgd(lr=values)) == []


def adamw(**fields):
    return {"optimizers": {"adamw": fields}, "schedules": {"cosine": {}}}


def test_a_range_more_than_a_decade_beyond_the_published_one():
    # published: 1e-6 (fine-tuning) to 1 (the Crowded Valley's Adam)
    assert only(warnings(space=adamw(lr=lr(1e-3, 20.0))), "adamw.lr = 0.001..20", "1e-06..1")
    assert only(warnings(space=adamw(lr=lr(5e-8, 1e-2))), "adamw.lr = 5e-08..0.01")
    assert warnings(space=adamw(lr=lr(1e-7, 10.0))) == []  # a decade at each end
    assert only(warnings(space=adamw(weight_decay=lr(1e-5, 1e-1))), "adamw.weight_decay")


def test_a_range_outside_every_published_one():
    assert only(warnings(space=adamw(lr=lr(5.0, 50.0))), "outside every published", "1e-06..1")
    found = warnings(space=sgd(lr=lr(1e-9, 1e-7)))
    assert only(found, "outside every published range (1e-05..10)", "unit")


def test_a_range_of_sgd_in_torchs_units_may_reach_a_decade_further():
    assert warnings(space=sgd(lr=lr(1e-6, 100.0))) == []
    assert only(warnings(space=sgd(lr=lr(1e-7, 1.0))), "sgd.lr", "beyond")


def test_a_range_of_sgd_is_compared_at_its_momentum_and_batch():
    scale = Scale(steps_per_epoch=STEPS_PER_EPOCH, batch_size=640)
    spec = spec_of(space=sgd(lr=lr(1e-7, 1.0)))
    assert only(lint(spec, scale), "the published 0.0001..1e+02")
    without = spec_of(space=sgd(momentum=0.0, nesterov=False, lr=lr(1e-7, 1.0)))
    assert only(lint(without, SCALE), "the published 0.0001..1e+02")


def test_momentum_is_not_compared_with_a_range_in_another_unit():
    space = {"optimizers": {"sgd": {"momentum": {"low": 0.5, "high": 0.99}}}}
    assert warnings(space={**space, "schedules": {"cosine": {}}}) == []


@pytest.mark.parametrize(
    ("warmup", "warned"),
    [
        (0.1, False),
        (0.2, True),
        ([0.0, 0.05], False),
        ([0.0, 0.3], True),
        ({"low": 0.0, "high": 0.1}, False),
        ({"low": 0.0, "high": 0.5}, True),
    ],
)
def test_a_long_warm_up(warmup, warned):
    found = warnings(space={**sgd(), "warmup": warmup})
    assert only(found, "space.warmup", "10 %") if warned else found == []


def test_a_plateau_without_enough_validations():
    space = {**sgd(), "schedules": {"plateau": {}}, "warmup": 0.0}
    assert only(warnings(space=space, epochs=9), "plateau", "fewer than 10 validations")
    assert warnings(space=space, epochs=10) == []


def test_a_plateau_whose_patience_outlasts_the_run():
    space = {
        **sgd(),
        "schedules": {"plateau": {"patience": {"low": 0.1, "high": 0.99}}},
        "warmup": 0.0,
    }
    assert only(warnings(space=space), "patience reaches 30 of 30", "beyond the horizon")
    often = {"validate_every": {"fraction": 0.01}}
    assert only(warnings(space=space, **often), "patience reaches 99 of 100")
    shorter = {**space, "schedules": {"plateau": {"patience": 0.5}}}
    assert warnings(space=shorter) == []


def test_fewer_trials_than_pairs_of_optimizer_and_schedule():
    found = warnings(budget={"trials": 17})  # 3 optimizers x 6 schedules
    assert only([line for line in found if "pairs" in line], "17", "18 pairs")


@pytest.mark.parametrize(
    ("trials", "advice"), [(9, "lr only"), (10, "lr and momentum"), (24, "lr and momentum")]
)
def test_too_few_trials_for_the_space(trials, advice):
    assert only(warnings(space=sgd(), budget={"trials": trials}), f"= {trials}", advice)


def test_25_trials_of_one_pair_are_enough():
    assert warnings(space=sgd(), budget={"trials": 25}) == []


def test_few_trials_are_enough_for_what_the_playbook_tunes_first():
    fixed = sgd(nesterov=True, weight_decay=1e-4)
    assert warnings(space=fixed, budget={"trials": 9}) == []
    with_momentum = sgd(momentum={"low": 0.5, "high": 0.99}, weight_decay=1e-4)
    assert warnings(space=with_momentum, budget={"trials": 10}) == []
    assert only(warnings(space=with_momentum, budget={"trials": 9}), "lr only", "sgd.momentum")


def test_a_quick_study_needs_few_trials():
    assert warnings(space="quick", budget={"trials": 9}) == []


def test_epochs_for_no_trial():
    quick = {"space": "quick", "confirm": "none"}
    found = warnings(budget={"epochs": 29}, **quick)
    assert only(found[-1:], "budget.epochs = 29", "no trial of 30 epochs", "at least 30")
    assert "no trial" not in "".join(warnings(budget={"epochs": 30}, **quick))


@pytest.mark.parametrize(
    ("budget", "words"),
    [({"runs": 2}, "runs = 2 (about 2 trials)"), ({"epochs": 70}, "epochs = 70 (about 2 trials)")],
)
def test_runs_and_epochs_that_pay_for_few_trials(budget, words):
    found = warnings(space=sgd(), budget=budget, confirm="none", portfolio="none")
    assert only(found, f"budget.{words}: with so few, tune lr only")
    # Where the portfolio takes them all, nothing is drawn from the space.
    assert warnings(space=sgd(), budget=budget, confirm="none") == []


def test_a_budget_in_runs_is_expected_to_pay_for_more_trials_than_runs():
    assert warnings(space=sgd(), budget={"runs": 20}) == []
    assert only(warnings(space=sgd(), budget={"runs": 20}, pruning="none"), "about 12 trials")
    few = warnings(budget={"runs": 3}, confirm="none", portfolio="none")
    assert only(few[:1], "runs = 3 (about", "pairs")


def test_a_budget_that_the_users_own_recipes_take_is_said():
    own = {"baseline": {"optimizer": {"name": "sgd", "lr": 0.1}}}
    found = warnings(space=sgd(), budget={"runs": 1}, confirm="none", **own)
    assert only(found, "budget pays for 1 trial,", "nothing else is tried; 2 runs try one more")
    assert warnings(space=sgd(), budget={"runs": 2}, confirm="none", **own) == []


def test_runs_that_leave_none_to_confirm_with():
    found = warnings(space=sgd(), budget={"runs": 7})
    assert only(found[-1:], "budget.runs = 7", "8 leave 3")
    assert "leave 3" not in "".join(warnings(space=sgd(), budget={"runs": 8}))
    found = warnings(space=sgd(), budget={"epochs": 330})
    assert only(found, "budget.epochs = 330", "360 leave 3")


def test_an_optimizer_that_averages_by_itself_needs_no_schedule():
    fields = {"lr": lr(1e-3, 1e-1)}
    space = {"optimizers": {"schedulefree.AdamWScheduleFree": fields}}
    found = warnings(space={**space, "schedules": ["constant", "cosine"]})
    assert only(found, "averages its weights", "cosine would decay")
    assert warnings(space={**space, "schedules": ["constant"]}) == []


def test_no_run_left_to_confirm_with():
    found = warnings(space=sgd(), budget={"trials": 3})
    assert only([line for line in found if "confirm" in line], "3", "4 leave one")
    without = warnings(space=sgd(), budget={"trials": 3}, confirm="none")
    assert not [line for line in without if "confirm" in line]


def discrete(count):
    """A space of so many recipes."""
    values = [0.01 * n for n in range(1, count + 1)]
    fixed = {"momentum": 0.9, "nesterov": False, "weight_decay": 0.0}
    lrs = {"choices": values} if count > 1 else values[0]
    return {"optimizers": {"sgd": {"lr": lrs, **fixed}}, "schedules": {"constant": {}}, "warmup": 0}


def test_a_space_of_fewer_recipes_than_trials_ends_the_search_early():
    found = warnings(space=discrete(6), budget={"trials": 40})
    assert only(found, "6 distinct recipes", "40 trials", "{trials: 6}")
    assert any("1 distinct recipe," in line for line in warnings(space=discrete(1)))


@pytest.mark.parametrize("trials", [5, 6])
def test_a_space_of_as_many_recipes_as_trials_is_large_enough(trials):
    found = warnings(space=discrete(6), budget={"trials": trials})
    assert not any("distinct" in line for line in found)
