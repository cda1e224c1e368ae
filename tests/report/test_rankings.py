"""Which optimizer and which schedule did better, and whether more than chance tells them apart."""

import pytest
from made_reports import ACCURACY, made_report, trial

from lrsearch.report.answer.rankings import optimizer_ranking, schedule_ranking
from lrsearch.report.figures.data.best_of import by_pair
from lrsearch.report.figures.optimizers_by_schedules import figure as table
from lrsearch.report.figures.shape import figure as shape
from lrsearch.report.text.rankings import ranking_sentences

NAMES = ("adamw", "sgd", "rmsprop")
SPACE = {
    "space": {
        "optimizers": {name: {} for name in NAMES},
        "schedules": {"constant": {}, "cosine": {}, "linear": {}},
    }
}


def study(levels, *, count=8, turned=False, **changes):
    """`count` trials of each optimizer and schedule, which lie about these losses."""
    trials = []
    for (name, schedule), level in levels.items():
        for _ in range(count):
            loss = level + 0.01 * ((7 * len(trials)) % 11)
            value = 2 - loss if turned else loss
            trials.append(trial(len(trials), value, name=name, schedule=schedule))
    return made_report(trials, **{**SPACE, **changes})


CLEAR = {
    ("adamw", "constant"): 0.2,
    ("adamw", "cosine"): 0.2,
    ("sgd", "constant"): 0.9,
    ("sgd", "cosine"): 0.9,
    ("rmsprop", "constant"): 0.2,
    ("rmsprop", "cosine"): 0.2,
}


@pytest.mark.parametrize("turned", [False, True])
def test_what_differs_is_told_apart_and_what_does_not_is_not(turned):
    changes = {"objective": ACCURACY} if turned else {}
    ranking = optimizer_ranking(study(CLEAR, turned=turned, **changes))
    first, *others = ranking.options
    assert first.p is None
    assert {option.name for option in others if option.is_worse} == {"sgd"}
    assert {option.name for option in ranking.options} == set(NAMES)
    for option in ranking.options:
        assert option.low <= option.expected <= option.high
    said = ranking_sentences(ranking, "loss")
    alike = next(option.name for option in others if not option.is_worse)
    assert said.startswith(
        f"Of the optimizers, {first.name} is better than sgd, by more than chance explains; it is "
        f"not told apart from {alike}. "
    )


def test_schedules_are_those_of_the_recommended_optimizer():
    report = study(CLEAR)
    ranking = schedule_ranking(report)
    assert ranking.optimizer == report.recommended.optimizer_name
    assert {option.name for option in ranking.options} == {"constant", "cosine"}
    assert {option.trials for option in ranking.options} == {8}
    said = ranking_sentences(ranking, "loss")
    assert said.startswith(f"No schedule of {ranking.optimizer} is shown to be better")


def test_a_rare_optimizer_is_named_and_not_ranked():
    rare = [trial(100 + i, 0.001, name="rmsprop") for i in range(3)]
    trials = [t for t in study(CLEAR).trials if t.parsed.optimizer_name != "rmsprop"]
    ranking = optimizer_ranking(made_report([*trials, *rare], **SPACE))
    assert ranking.left_out == ("rmsprop",)
    said = ranking_sentences(ranking, "loss")
    assert said.endswith("Not compared, for too few trials: rmsprop.")
    assert "adamw is better than sgd" in said


def test_what_diverged_throughout_is_no_option():
    lost = [trial(200 + i, None, "diverged", name="rmsprop", reason="nan") for i in range(9)]
    trials = [t for t in study(CLEAR).trials if t.parsed.optimizer_name != "rmsprop"]
    ranking = optimizer_ranking(made_report([*trials, *lost], **SPACE))
    assert ranking.left_out == ("rmsprop",)


def test_one_optimizer_or_few_trials_have_no_ranking():
    one = {key: level for key, level in CLEAR.items() if key == ("adamw", "constant")}
    assert optimizer_ranking(study(one)) is schedule_ranking(study(one)) is None
    assert optimizer_ranking(study(CLEAR, count=1)) is None
    two = {key: level for key, level in CLEAR.items() if key[0] != "rmsprop"}
    assert optimizer_ranking(study(two, count=3)) is None  # 12 trials
    assert optimizer_ranking(study(two, count=4)) is not None
    assert optimizer_ranking(made_report()) is schedule_ranking(made_report()) is None
    assert ranking_sentences(None, "loss") == ""


@pytest.mark.parametrize("count", [1, 2, 3, 6])
def test_both_figures_and_the_answer_tell_the_best_of_equally_many(count):
    report = study(CLEAR, count=count)
    k = by_pair(report).k
    assert 2 <= k <= max(2, count)
    drawn = [figure for figure in (table(report), shape(report)) if figure is not None]
    assert len(drawn) == (0 if count == 1 else 2)
    for figure in drawn:
        assert f"best of {k} " in figure.caption
    found = optimizer_ranking(report)
    if found is not None:
        assert found.k == k
        assert ranking_sentences(found, report.metric) in table(report).caption
