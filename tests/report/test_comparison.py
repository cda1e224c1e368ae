"""Studies beside each other: differences with intervals, what differs, and the words for it."""

import json
import math
import random
from dataclasses import replace
from html.parser import HTMLParser
from statistics import fmean

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lr_reports import SPACE, basin_trials
from lr_reports import made_report as lr_report
from made_reports import ACCURACY, made_report, runs_of, trial
from scipy import stats

from lrsearch.errors import SpecError, StudyError
from lrsearch.report.answer.safe_rates import LEAST_FITTED
from lrsearch.report.comparison import drawn
from lrsearch.report.comparison.comparability import warnings
from lrsearch.report.comparison.comparison import Standing, comparison
from lrsearch.report.comparison.difference import PAIRED_SHARE, mean_difference
from lrsearch.report.comparison.documents import comparison_document
from lrsearch.report.comparison.entry import Entry
from lrsearch.report.comparison.figures import figures
from lrsearch.report.comparison.page import markdown_text, page_text, write_comparison
from lrsearch.report.comparison.tables import tables
from lrsearch.report.comparison.text import comparison_text, sentences, title
from lrsearch.report.text.format import EMPTY
from lrsearch.report.text.no_answer import why_none
from lrsearch.report.text.result import answer
from lrsearch.spec.study_spec import StudySpec

LOW = [0.30, 0.31, 0.29, 0.305, 0.295, 0.30]
HIGH = [0.40, 0.41, 0.39, 0.405, 0.395, 0.41]


def study(number, values=(), *, lr=0.1, rows=None, **changes):
    """The report of a study of its own with one complete trial and runs with fresh seeds."""
    rows = [trial(0, 0.3, lr=lr)] if rows is None else rows
    own = {"study_id": number, **changes.pop("study", {})}
    return made_report(rows, runs_of(0, values), study=own, **changes)


def compared(*reports):
    return comparison(
        [Entry(label=label, report=report) for label, report in zip("ABCD", reports, strict=False)]
    )


# The difference of two means


def seeded(values, first=0):
    return dict(enumerate(values, start=first))


numbers = st.lists(st.floats(-100, 100).map(lambda x: round(x, 3)), min_size=2, max_size=9)


@settings(max_examples=30)
@given(numbers, st.integers(0, 2**31))
def test_shared_seeds_give_the_paired_t_interval(values, seed):
    draw = random.Random(seed)
    others = [value + draw.gauss(1, 1) for value in values]
    found = mean_difference(seeded(values), seeded(others))
    expected = stats.ttest_rel(values, others).confidence_interval(0.95)
    assert found.method == "paired"
    assert (found.n, found.shared) == ((len(values), len(values)), len(values))
    assert found.interval == pytest.approx(tuple(expected), rel=1e-6, abs=1e-9)


@settings(max_examples=30)
@given(numbers, numbers)
def test_other_seeds_give_welch_s_interval_with_degrees_rounded_down(values, others):
    found = mean_difference(seeded(values), seeded(others, first=100))
    assert (found.method, found.shared) == ("unpaired", 0)
    assert found.value == pytest.approx(fmean(values) - fmean(others))
    spread = math.hypot(stats.sem(values), stats.sem(others))
    half = (found.interval[1] - found.interval[0]) / 2
    if spread == 0:
        assert half == 0
        return
    degrees = stats.ttest_ind(values, others, equal_var=False).df
    # A whole number of degrees may lie a rounding error below itself.
    near = [max(1, math.floor(degrees + step)) for step in (-1e-9, 1e-9)]
    expected = [stats.t.ppf(0.975, each) * spread for each in near]
    assert any(half == pytest.approx(each, rel=1e-6) for each in expected)


@pytest.mark.parametrize(("first", "method"), [(1, "paired"), (2, "unpaired")])
def test_runs_are_paired_where_both_share_three_quarters_of_their_seeds(first, method):
    assert PAIRED_SHARE == 0.75
    found = mean_difference(seeded(LOW), seeded(HIGH, first=first))
    assert (found.method, found.shared) == (method, len(LOW) - first)
    assert found.n == ((5, 5) if method == "paired" else (6, 6))


def test_many_seeds_are_not_thrown_away_for_a_few_pairs():
    found = mean_difference(seeded(LOW), seeded(HIGH[:3]))
    assert (found.method, found.n, found.shared) == ("unpaired", (6, 3), 3)


def test_one_run_has_no_interval_and_none_no_difference():
    assert mean_difference({1: 0.3}, {1: 0.1}).interval is None
    assert mean_difference({1: 0.3}, {2: 0.1, 3: 0.2}).interval is None
    assert mean_difference({}, {1: 0.1}) is None


@pytest.mark.parametrize(("shared", "common"), [(7, 0.5), (5, 0.7), (0, 0.0)])
def test_the_interval_holds_the_difference_at_least_as_often_as_it_says(shared, common):
    draw, held, rounds = random.Random(0), 0, 1500
    for _ in range(rounds):
        of_seed = {seed: draw.gauss(0, common) for seed in range(20)}
        mine = {seed: of_seed[seed] + draw.gauss(0, 1) for seed in range(7)}
        theirs = {seed: of_seed[seed] + draw.gauss(0, 2) for seed in range(7 - shared, 14 - shared)}
        low, high = mean_difference(mine, theirs).interval
        held += low <= 0 <= high
    assert held / rounds > 0.935


# Which study has the better recipe


def test_the_difference_is_above_0_where_the_other_study_is_better():
    (lower,) = compared(study(1, HIGH), study(2, LOW)).compared
    assert (lower.of, lower.against, lower.standing) == ("B", "A", Standing.BETTER)
    assert lower.value == pytest.approx(fmean(HIGH) - fmean(LOW))
    assert lower.ci95[0] > 0
    higher = {"objective": ACCURACY}
    (worse,) = compared(study(1, HIGH, **higher), study(2, LOW, **higher)).compared
    assert worse.standing == Standing.WORSE
    assert worse.value == pytest.approx(fmean(LOW) - fmean(HIGH))


def test_sentences_say_how_much_how_sure_and_how_it_was_compared():
    found = compared(study(1, HIGH), study(2, LOW, lr=0.2))
    assert title(found) == "Better than A: B"
    line, last = sentences(found)
    assert line == (
        "B has 0.102 better val_loss than A (95 % interval 0.0974 to 0.106), from 6 runs of each "
        "on the same fresh seeds, compared in pairs."
    )
    step = answer(found.entries[1].report).next
    assert last == step.sentence.replace("Next, to", "Next for B, to")
    found = compared(study(1, HIGH), study(2, LOW[:3], lr=0.2))
    assert sentences(found)[0] == (
        "B has 0.102 better val_loss than A (95 % interval 0.0805 to 0.123), from 3 runs of B and "
        "6 of A with fresh seeds, compared by their means (Welch's t)."
    )


def test_a_tie_is_said_from_worse_to_better_and_has_no_next_step():
    mixed = [value + (-1) ** i * 0.01 for i, value in enumerate(LOW)]
    found = compared(study(1, LOW), study(2, mixed, lr=0.2))
    assert title(found) == "Neither is shown to be better"
    (line,) = sentences(found)
    assert line.startswith(
        "No difference is shown: B has neither better nor worse val_loss than A (95 % interval "
        "0.0115 worse to 0.0115 better)"
    )
    assert comparison_document(found)["next"] is None


def test_a_difference_within_the_tolerance_is_none():
    found = compared(study(1, HIGH), study(2, LOW, lr=0.2, tolerance=0.2))
    assert found.compared[0].standing == Standing.NO_DIFFERENCE
    assert sentences(found)[0].startswith("No difference beyond the tolerance of 0.2 is shown: B")


def test_intervals_of_several_comparisons_hold_together():
    two = compared(study(1, HIGH), study(2, LOW)).compared
    three = compared(study(1, HIGH), study(2, LOW), study(3, LOW)).compared
    assert three[0].value == two[0].value
    pairs = [high - low for high, low in zip(HIGH, LOW, strict=True)]
    expected = stats.t.interval(0.975, 5, fmean(pairs), stats.sem(pairs))
    assert three[0].ci95 == pytest.approx(expected)
    assert two[0].ci95 == pytest.approx(stats.t.interval(0.95, 5, fmean(pairs), stats.sem(pairs)))


def test_the_best_of_three_is_the_one_to_go_on_with():
    best = [value - 0.1 for value in LOW]
    found = compared(study(1, HIGH), study(2, LOW, lr=0.2), study(3, best, lr=0.3))
    assert title(found) == "Better than A: B, C"
    said = sentences(found)
    assert said[2].startswith("Each study is compared with A, the first one named.")
    assert said[3].startswith("Next for C, to ")


def test_studies_that_recommend_the_same_recipe_say_so():
    found = compared(study(1, LOW), study(2, LOW))
    assert "B and A recommend the same recipe." in sentences(found)
    assert "recommend the same" not in " ".join(
        sentences(compared(study(1, LOW), study(2, LOW, lr=1)))
    )


# Studies that cannot be judged yet


def test_one_run_is_no_verdict():
    found = compared(study(1, LOW), study(2, HIGH[:1], lr=0.2))
    assert found.compared[0].standing == Standing.ONE_SEED
    assert title(found) == "Not decided yet"
    line, last = sentences(found)
    assert line == (
        "B has 0.1 worse val_loss than A, from 1 run of B and 6 of A with fresh seeds. One run "
        "cannot tell a difference from chance."
    )
    assert last.startswith("Next for B, to ")


def test_a_search_that_is_not_confirmed_decides_nothing():
    found = compared(study(1, LOW), study(2, lr=0.2, rows=[trial(0, 0.25, lr=0.2)]))
    (each,) = found.compared
    assert (each.standing, each.seeds, each.ci95) == (Standing.UNCONFIRMED, "search", None)
    assert each.value == pytest.approx(0.05)
    assert sentences(found)[:2] == [
        "B is not confirmed with fresh seeds; it has not ended yet.",
        "It is not known yet which is better. The best trial of B has 0.05 better val_loss than "
        "the best of A, each on its search's one seed; the best of many trials on one seed looks "
        "better than it is.",
    ]


def test_a_running_study_says_that_it_runs():
    rows = [trial(0, 0.25, lr=0.2), trial(1, state="running")]
    found = compared(study(1, LOW), study(2, rows=rows, finished=False))
    assert sentences(found)[0] == "B is not confirmed with fresh seeds; it has not ended yet."
    assert sentences(found)[-1].startswith("Next for B, to ")


@pytest.mark.parametrize("rows", [[], [trial(0, state="diverged"), trial(1, state="diverged")]])
def test_a_study_without_a_recipe_says_why(rows):
    found = compared(study(1, LOW), study(2, rows=rows))
    assert found.compared[0].standing == Standing.NO_RECIPE
    said = sentences(found)
    assert said[0] == "B cannot be compared with A yet."
    assert said[1] == f"B has no recipe. {why_none(found.entries[1].report)}"
    assert json.loads(json.dumps(comparison_document(found)))["compared"][0]["value"] is None
    assert "Recipes" in comparison_text(found)


def test_two_studies_without_trials_have_a_page_without_figures():
    found = compared(study(1, rows=[]), study(2, rows=[]))
    assert list(figures(found)) == []
    page = page_text(found)
    assert "<figure" not in page
    assert "<script" not in page


# What is refused, and what is doubted


def test_fewer_than_two_a_name_twice_and_two_objectives_are_refused():
    for reports, line in (
        ([study(1, LOW)], "1 study to compare; name two or more"),
        ([study(1, LOW), study(1, LOW)], "study 'tiny' is named twice; name different studies"),
        (
            [study(1, LOW), study(2, LOW, objective=ACCURACY)],
            "study 'B' maximizes accuracy, but 'A' minimizes val_loss; name studies of one "
            "objective",
        ),
        (
            [study(1, LOW), study(2, LOW, objective={**ACCURACY, "metric": "val_loss"})],
            "study 'B' maximizes val_loss, but 'A' minimizes val_loss; name studies of one "
            "objective",
        ),
    ):
        with pytest.raises(StudyError) as raised:
            compared(*reports)
        assert str(raised.value) == line


def test_values_that_may_mean_something_else_are_warned_of():
    def doubts(**changes):
        return list(warnings(compared(study(1, LOW), study(2, LOW, **changes))))

    assert doubts() == []
    may = "their values may not mean the same."
    assert doubts(task="other.py:task") == [f"B trains other.py:task, A tiny.py:task: {may}"]
    assert doubts(study={"code": {"tiny.py": "f00"}}) == [
        f"The code of B and A differs (tiny.py): {may}"
    ]
    assert doubts(epochs=8) == [
        "One training is 8 epochs in B and 4 epochs in A: a difference may come from that alone."
    ]
    assert doubts(objective={"metric": "val_loss", "direction": "minimize", "at": "last"}) == [
        "A value of B is of the last validation, one of A of the best validation."
    ]


# In what studies differ


def table(found, head):
    (part,) = [part for part in tables(found) if part.title == head]
    return part


def test_what_one_study_searches_and_another_does_not():
    wide = {
        "optimizers": {
            "sgd": {"lr": {"low": 0.01, "high": 1, "log": True}, "momentum": {"choices": [0, 0.9]}}
        },
        "schedules": {"constant": {}, "cosine": {}},
        "params": {"width": {"low": 8, "high": 32, "step": 8}},
    }
    narrow = {
        "optimizers": {"sgd": {"lr": 0.1, "momentum": {"choices": [0, 0.9]}}, "adam": {"lr": 0.01}},
        "schedules": {"constant": {}},
        "groups": {"bias": 0.5},
    }
    found = compared(study(1, LOW, space=wide), study(2, LOW, space=narrow))
    assert table(found, "Spaces").grid.rows == (
        ("sgd.lr", "0.01 to 1 (log)", "0.1"),
        ("optimizer adam", EMPTY, "lr 0.01, beta1 0.5 to 0.98 (log of 1 - value)"),
        ("schedule cosine", "eta_min 0", EMPTY),
        ("params.width", "8 to 32 in steps of 8", EMPTY),
        ("groups.bias", EMPTY, "lr_scale 0.5"),
    )
    each = comparison_document(found)["space"]
    assert each[0]["domains"]["B"] == {"value": 0.1}
    assert (each[1]["part"], each[1]["domains"]["A"]) == ("optimizer adam", None)
    assert each[1]["domains"]["B"]["lr"] == {"value": 0.01}


def test_a_script_s_own_optimizer_has_the_words_of_its_command():
    def of(number, high):
        lr = {"low": 0.01, "high": high, "log": True}
        command = ["python", "train.py", "--lr", "{lr}"]
        report = {"val_loss": "loss (.*)"}
        space = {"optimizers": {"script": {"lr": lr}}}
        fields = {"command": command, "report": report, "space": space, "epochs": 2}
        spec = StudySpec.from_dict({"name": "script", "budget": {"trials": 2}, **fields})
        return study(number, rows=[], spec=spec)

    found = compared(of(1, 1.0), of(2, 0.1))
    assert table(found, "Spaces").grid.rows == (("lr", "0.01 to 1 (log)", "0.01 to 0.1 (log)"),)
    assert sentences(found)[0] == "B cannot be compared with A yet."


def test_equal_spaces_and_files_are_said_to_be_equal():
    found = compared(study(1, LOW), study(2, LOW))
    assert table(found, "Spaces").note == "All search the same space."
    assert table(found, "Study files").note == "Their other fields are the same."


def test_fields_of_study_files_that_differ_stand_by_their_places():
    versions = {"versions": {"lrsearch": "2"}}
    found = compared(
        study(1, LOW, seed=1, clip_norm=1.0),
        study(2, LOW, pruning="none", confirm={"runs": 4}, study=versions),
    )
    rows = {row[0]: row[1:] for row in table(found, "Study files").grid.rows}
    assert rows["seed"] == ("1", "3")
    assert rows["clip_norm"] == ("1.0", "none")
    assert rows["confirm.runs"] == ("none", "4")
    assert rows["pruning"][1] == "none"
    assert rows["version of lrsearch"] == ("1", "2")
    assert not {"name", "space", "notes"} & rows.keys()


# Learning rates


@pytest.fixture(scope="module")
def fitted():
    """Two studies with enough trials for a basin."""
    reports = []
    for number, count in ((1, 120), (2, 30)):
        trials, marks = basin_trials(count, seed=number, pruned=0.2)
        report = lr_report(trials, marks=marks)
        reports.append(replace(report, study=replace(report.study, study_id=number)))
    return comparison(
        [Entry(label=name, report=report) for name, report in zip("AB", reports, strict=True)]
    )


def test_a_basin_is_told_from_fifteen_trials_on(fitted):
    rates = {(e.label, r.optimizer): r for e in fitted.entries for r in e.rates}
    assert set(rates) == {(s, o) for s in "AB" for o in SPACE["optimizers"]}
    assert {found.trials >= LEAST_FITTED for found in rates.values()} == {True, False}
    for found in rates.values():
        told = found.trials >= LEAST_FITTED
        assert (found.fitted > 0) is (found.percent_5 is not None) is told
        if told:
            near, far = found.percent_1, found.percent_5
            assert far.low <= near.low < near.high <= far.high


def test_the_table_of_learning_rates_puts_an_optimizer_s_studies_beside_each_other(fitted):
    part = table(fitted, "Safe learning rates")
    assert [row[:2] for row in part.grid.rows] == [
        ("sgd", "A"),
        ("sgd", "B"),
        ("adamw", "A"),
        ("adamw", "B"),
    ]
    assert "lr within 5 %" in part.grid.columns
    assert len(part.lines) == 2
    for line, entry in zip(part.lines, fitted.entries, strict=True):
        assert line.partition(": ")[2] in answer(entry.report).sentences
    assert f"~ fewer than {LEAST_FITTED} of them lie near the best" in part.note
    marked = [row[-1].endswith("~") for row in part.grid.rows if row[-1] != EMPTY]
    told = [r.fitted < LEAST_FITTED for e in fitted.entries for r in e.rates if r.fitted]
    assert sorted(marked) == sorted(told)


def test_figures_draw_each_study_s_trials_and_curves(fitted):
    panels = drawn.rate_panels(fitted, worse=1.0)
    assert [panel.optimizer for panel in panels] == ["sgd", "adamw"]
    for panel in panels:
        assert {point.study for point in panel.points} == {"A", "B"}
        assert {curve.study for curve in panel.curves} == {"A", "B"}
        assert panel.ends[0] <= min(point.x for point in panel.points)
    diverged = [point for panel in panels for point in panel.points if point.state == "diverged"]
    assert diverged
    assert {point.y for point in diverged} == {1.0}


def test_progress_counts_the_epochs_of_all_trials():
    rows = [
        trial(0, 0.5, epochs=4.0, ended=2),
        trial(1, state="pruned", epochs=1.0, ended=1),
        trial(2, 0.3, epochs=4.0, ended=3),
        trial(3, 0.4, epochs=4.0, ended=4),
    ]
    steps = drawn.progress(compared(study(1, rows=rows), study(2, rows=[])))
    assert [(step.epochs, step.best, step.number) for step in steps] == [
        (5.0, 0.5, 0),
        (9.0, 0.3, 2),
        (13.0, 0.3, 2),
    ]


# Files


class Text(HTMLParser):
    """The words of a page outside scripts, styles and pictures."""

    def __init__(self, page):
        super().__init__()
        self.words, self.skips = [], 0
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.skips += tag in ("script", "style", "svg")

    def handle_endtag(self, tag):
        self.skips -= tag in ("script", "style", "svg")

    def handle_data(self, data):
        if not self.skips:
            self.words.append(data.strip())


def test_text_page_and_markdown_say_the_same():
    found = compared(study(1, HIGH), study(2, LOW, lr=0.2), study(3, LOW[:2], lr=0.3))
    page, markdown = page_text(found), markdown_text(found)
    words = Text(page).words
    cells = {cell.strip() for line in markdown.splitlines() for cell in line.split("|")}
    text = comparison_text(found)
    for line in sentences(found):
        assert line in words
        assert line in markdown
        assert line in text
    for part in tables(found):
        for line in part.lines:
            assert line in words
            assert line in markdown
            assert line in text
        for cell in {cell for row in part.grid.rows for cell in row}:
            assert cell in words
            assert cell in cells
            assert cell in text
    assert [figure.name for figure in figures(found)] == ["recipes", "learning_rates", "progress"]
    assert page.count("<figure") == 3


def test_the_page_fetches_nothing_and_escapes_names():
    found = comparison(
        [
            Entry(label="<b>", report=study(1, LOW)),
            Entry(label="a|b", report=study(2, HIGH, notes="</script>")),
        ]
    )
    page = page_text(found)
    assert "&lt;b&gt;" in page
    assert "<b>" not in page
    assert "src=" not in page.partition("<script>")[0]
    assert "a\\|b" in markdown_text(found)


@pytest.mark.parametrize("name", ["compare.pdf", "compare", "html"])
def test_a_file_of_another_kind_is_refused(name, tmp_path):
    with pytest.raises(SpecError, match=r"\.html or \.md is accepted"):
        write_comparison(compared(study(1, LOW), study(2, HIGH)), tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_cannot_be_written_is_one_line(tmp_path):
    found = compared(study(1, LOW), study(2, HIGH))
    with pytest.raises(StudyError, match="cannot write the comparison: No such file or directory"):
        write_comparison(found, tmp_path / "none" / "compare.md")
