"""The plan of a whole budget: its shares, and what more recipes are expected to bring."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lrsearch.advice.cost import cost_plan
from lrsearch.advice.outlook import outlook, planned_outlook
from lrsearch.advice.shares import shares
from lrsearch.report.text.plan import plan_json, plan_text
from lrsearch.space.portfolio.gaps import DRAWS, PORTFOLIO
from lrsearch.spec.study_spec import StudySpec

STUDY = {"name": "small", "task": "task.py:task", "epochs": 30, "range_test": "none"}
STEPS = 40
BASELINE = {"optimizer": {"name": "adamw", "lr": 1e-3}}


def spec_of(**changes):
    return StudySpec.from_dict({**STUDY, **changes})


def shares_of(**changes):
    return shares(cost_plan(spec_of(**changes), STEPS))


def text_of(**changes):
    spec = spec_of(**changes)
    return plan_text(spec, cost_plan(spec, STEPS))


def test_up_to_three_runs_are_the_portfolios_first_each_to_its_end():
    for runs in (1, 2, 3):
        found = shares_of(budget={"runs": runs})
        assert (found.own, found.portfolio, found.sampled, found.whole) == (0, runs, 0, True)
        assert found.reached == ()
        assert (found.epochs.known, found.epochs.exploration) == (30 * runs, 0)
        assert found.confirming.runs == 0


def test_a_baseline_takes_the_first_run():
    found = shares_of(budget={"runs": 3}, baseline=BASELINE)
    assert (found.own, found.portfolio, found.sampled) == (1, 2, 0)
    alone = shares_of(budget={"runs": 1}, baseline=BASELINE)
    assert (alone.own, alone.portfolio, alone.sampled) == (1, 0, 0)


@settings(max_examples=30, deadline=None)
@given(
    runs=st.integers(1, 60),
    portfolio=st.sampled_from(["default", "none", 4]),
    pruning=st.sampled_from([{}, {"pruning": "none"}]),
    own=st.sampled_from([{}, {"baseline": BASELINE}]),
)
def test_the_shares_are_the_whole_budget(runs, portfolio, pruning, own):
    spec = spec_of(budget={"runs": runs}, portfolio=portfolio, **pruning, **own)
    plan = cost_plan(spec, STEPS)
    found = shares(plan)
    assert found.own + found.portfolio + found.sampled == plan.expected_trials
    spent = found.epochs
    total = spent.range_test + spent.known + spent.exploration + spent.confirm
    assert total <= plan.most_epochs + 1e-6
    # What is left over pays for no further run.
    assert total > plan.most_epochs - plan.horizon
    counts = [each.trials for each in found.reached]
    assert all(before >= after for before, after in pairwise(counts))
    confirming = found.confirming
    assert confirming.choose + confirming.report == confirming.runs == plan.confirm_runs


def test_the_words_of_a_plan_say_who_is_tried_when():
    lines = text_of(budget={"runs": 25}, baseline=BASELINE).splitlines()
    starts = [line.partition(":")[0] for line in lines]
    assert starts == ["study small", "plan", "first", "then", "rungs", "last"]
    known = "first: 1 recipe of your own, 7 recipes of the portfolio to the end"
    assert lines[2].startswith(known)
    assert lines[-1] == "last: 10 runs with fresh seeds: 6 choose among 4 recipes, 4 report"
    lines = text_of(budget={"runs": 1}).splitlines()
    assert lines[2] == "first: 1 recipe of the portfolio, to the end, about 30 epochs"
    assert lines[3] == "last: no run with a fresh seed, so nothing is confirmed"
    assert lines[4].startswith("outlook: on 17 recorded tasks the loss after 1 recipe of the port")


def test_where_time_alone_ends_the_search_nothing_is_expected():
    found = shares_of(budget={"time": 60})
    assert (found.sampled, found.epochs.known, found.epochs.exploration) == (None, None, None)
    assert "then: recipes that the sampler draws\n" in text_of(budget={"time": 60})


def test_the_plan_for_machines_has_what_the_words_say():
    spec = spec_of(budget={"runs": 25})
    document = plan_json(spec, cost_plan(spec, STEPS), [], None, None)
    assert document["plan"]["portfolio"] == 7
    assert document["plan"]["confirming"] == {"runs": 10, "choose": 6, "among": 4, "report": 4}
    stages = document["plan"]["stages"]
    assert [each["fraction"] for each in stages] == pytest.approx([1 / 30, 0.1, 1 / 3, 1.0])
    assert document["outlook"] is None
    few = spec_of(budget={"runs": 3})
    document = plan_json(few, cost_plan(few, STEPS), [], None, None)
    assert [gap["recipes"] for gap in document["outlook"]["gaps"]] == [3, 5, 10]


def test_an_outlook_is_of_what_is_trained():
    spec = spec_of(budget={"runs": 2})
    assert [gap.recipes for gap in outlook(spec, 0).gaps] == [1, 3, 5, 10]
    assert outlook(spec, 2).gaps == tuple(PORTFOLIO[i - 1] for i in (2, 3, 5, 10))
    draws = spec_of(budget={"runs": 2}, portfolio="none")
    assert (outlook(draws, 5).of, outlook(draws, 5).gaps) == ("draws", (DRAWS[4], DRAWS[9]))
    own = spec_of(budget={"runs": 2}, portfolio=[{"optimizer": {"name": "sgd", "lr": 0.1}}])
    assert outlook(own, 2) is None
    assert planned_outlook(spec_of(budget={"runs": 25}), shares_of(budget={"runs": 25})) is None


@pytest.mark.parametrize("recorded", [PORTFOLIO, DRAWS])
def test_more_recipes_are_never_expected_to_be_worse_in_the_median(recorded):
    assert all(before.median >= after.median for before, after in pairwise(recorded))
