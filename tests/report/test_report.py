"""The report of a study: its tables in detail, its pictures without warnings, its files whole."""

import re
import subprocess
import sys
import warnings
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest
import torch
from markupsafe import escape
from matplotlib.figure import Figure
from ramps import make_ramp, make_result
from sqlalchemy import make_url
from tiny_studies import EPOCHS, LEASE, STEPS_PER_EPOCH, ask, curve_row, ended, make_study
from torch import nn

from lrsearch.advice.lr_edges import StabilityEdge
from lrsearch.advice.more_trials import Gain
from lrsearch.confirmation.confirmed import Confirmed, Optimism, Reasons, RunnerUp
from lrsearch.confirmation.statistics import Difference
from lrsearch.errors import LrsearchError, SpecError, StudyError
from lrsearch.recipe.recipe import Recipe
from lrsearch.report.cost import BudgetPart, Parts
from lrsearch.report.load import load_report
from lrsearch.report.model import Report
from lrsearch.report.page import markdown
from lrsearch.report.page import page as report_page
from lrsearch.report.page.page import write_report
from lrsearch.report.plots import plots, range_test, series
from lrsearch.report.plots.lr_sequences import MOST_POINTS, lr_sequence, recorded_sequence
from lrsearch.report.plots.series import Curve
from lrsearch.report.review import Advice, Audit, Warned
from lrsearch.report.shown import shown_trials
from lrsearch.report.text import format
from lrsearch.report.text import page as tables
from lrsearch.report.text.answer import study_text
from lrsearch.report.text.confirmation import promised, sentences
from lrsearch.report.text.hindsight import hindsight
from lrsearch.report.text.provenance import provenance
from lrsearch.report.text.range_test import range_test_table
from lrsearch.report.text.result import answer
from lrsearch.spec.parts import Objective
from lrsearch.storage import curves, range_tests
from lrsearch.storage.ends import RangeTestEnd
from lrsearch.storage.location import Location
from lrsearch.storage.range_tests import PlannedTest
from lrsearch.study.prepare_database import open_database
from lrsearch.task.commit import commit_of
from lrsearch.trial.pruning_audit import Rate
from lrsearch.trial.states import TrialState

SPACE = {
    "optimizers": {"sgd": {"momentum": 0.9}, "adamw": {}},
    "schedules": {"constant": {}, "cosine": {}, "plateau": {}, "one_cycle": {}},
}
BASELINE = {"optimizer": {"name": "adamw", "lr": 1e-3}, "schedule": {"name": "constant"}}
ACCURACY = {"metric": "accuracy", "direction": "maximize"}


@pytest.fixture
def database(tmp_path):
    database = open_database(f"sqlite:///{tmp_path}/study.db", create=True)
    yield database
    database.close()


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    """A study with a baseline and a trial in every state; tests only read it."""
    path = tmp_path_factory.mktemp("mixed") / "study.db"
    database = open_database(f"sqlite:///{path}", create=True)
    yield make_mixed(database)
    database.close()


def recipe(name="sgd", lr=0.1, schedule="constant", **fields):
    return {"optimizer": {"name": name, "lr": lr}, "schedule": schedule, **fields}


def finish(search, state, losses=(), *, reason=None, rows=None):
    """Start the next trial, write its curve and end it."""
    assignment = ask(search)
    rows = rows or [curve_row(i + 1, val_loss=loss) for i, loss in enumerate(losses)]
    with search.database.begin() as connection:
        curves.add(connection, assignment.claim, rows)
    epochs = rows[-1].epoch if rows else 0.5
    assert search.tell(assignment, ended(state, reason=reason, epochs=epochs))
    return assignment


def scored(accuracies):
    return [curve_row(i + 1, metrics={"accuracy": a, "mae": 0.1}) for i, a in enumerate(accuracies)]


def load(search, confirmed=None, **told):
    """The report of a study; what is `told` stands in place of what follows from its rows."""
    report = load_report(search.database, search.name, with_curves=True)
    told |= {} if confirmed is None else {"confirmed": tuple(confirmed)}
    if not told:
        return report
    fields = {name: getattr(report, name) for name in Report.__dataclass_fields__}
    told_report = type("ToldReport", (Report,), told)(**fields)
    with search.database.read() as connection:
        ids = [trial.id for trial in shown_trials(told_report)]
        drawn = curves.of_trials(connection, ids)
    return replace(told_report, curves={trial: tuple(rows) for trial, rows in drawn.items()})


def confirmed_entry(assignment, role="winner", **fields):
    known = {
        "trial": assignment.number,
        "role": role,
        "mean": 0.3,
        "ci95": (0.25, 0.35),
        "failed": 0,
        "values": (0.3,) * 6,
        "seeds": tuple(range(6)),
        "metrics": {"mae": 0.2},
        "recipe": assignment.recipe.to_dict(),
        "epochs": 4.0,
        "seconds": 1.0,
        "basin": None,
        "optimism": None,
    }
    return Confirmed(**{**known, **fields})


def make_mixed(database):
    enqueued = [
        recipe(lr=0.5, schedule="cosine", warmup=0.25),
        recipe(lr=0.2, schedule="plateau"),
        recipe("adamw", 0.01, {"name": "one_cycle", "cycle_momentum": True}),
        recipe(lr=9.0),
        recipe("adamw", 0.02),
        recipe("adamw", 0.03, "cosine"),
    ]
    search = make_study(database, space=SPACE, baseline=BASELINE, enqueue=enqueued)
    finish(search, TrialState.COMPLETE, [2.0, 1.0, 0.8, 0.7, 0.6, 0.6, 0.6, 0.6])
    finish(search, TrialState.COMPLETE, [2.0, 1.0, 0.5, 0.6, 0.6, 0.6, 0.6, 0.9])
    rows = [curve_row(i + 1, val_loss=1.0 / (i + 1), lr=0.2 / 2 ** (i // 3)) for i in range(8)]
    finish(search, TrialState.COMPLETE, rows=rows)
    finish(search, TrialState.PRUNED, [1.5, 0.05, 0.9])
    finish(search, TrialState.DIVERGED, [30.0], reason="training loss 34 is above 23")
    finish(search, TrialState.FAILED, reason="RuntimeError: <b>bad</b> | table")
    ask(search)
    return search


def test_counts_states_and_cost_are_the_databases(mixed):
    report = load(mixed)
    assert report.name == "tiny"
    ends = {"complete": 3, "pruned": 1, "diverged": 1, "failed": 1}
    assert report.counts == {**ends, "running": 1, "waiting": 0}
    assert [row.state for row in report.trials] == [
        *["complete"] * 3,
        "pruned",
        "diverged",
        "failed",
        "running",
    ]
    assert [row.ticket for row in report.trials] == [1, 2, 3, 4, 5, 6, 7]
    assert report.epochs == Parts(range_test=0, search=3 * EPOCHS + 2.5, audit=0, confirm=0)
    assert report.seconds == Parts(range_test=0, search=6, audit=0, confirm=0)
    assert (report.plan.search, report.plan.confirm) == (12 * EPOCHS, 3 * EPOCHS)
    assert report.budget == (BudgetPart(name="trials", total=12, used=7),)


def test_provenance_names_the_database_and_the_commit_of_the_code(mixed):
    report = load(mixed)
    assert dict(provenance(report))["storage"].startswith("sqlite:///")
    packages = {"lrsearch": "1", "torch": "2"}
    for commit, shown in (({}, "not known"), ({"commit": "0a1b2c"}, "0a1b2c")):
        study = replace(report.study, versions={**packages, **commit})
        told = dict(provenance(replace(report, study=study)))
        assert told["git commit of the code"] == shown
        assert told["versions when it was created"] == "lrsearch 1, torch 2"


def test_a_study_remembers_the_commit_of_its_code(mixed):
    here = commit_of(Path(__file__).parent) or "none"
    stored = load(mixed).versions.get("commit", "none")
    assert stored.partition(",")[0] == here.partition(",")[0]  # other files may be changed


def test_no_password_is_shown():
    url = make_url("postgresql+psycopg://me:secret1@host/db?sslpassword=secret2&password=secret3")
    shown = Location(url=url, source="--storage").shown
    assert shown.startswith("postgresql://me:***@host/db")
    assert "secret" not in shown


def test_hindsight_is_a_section_of_page_and_markdown(mixed):
    assert hindsight(load(mixed)).warnings == ()
    rate = Rate(audited=20, false=1, ci95=(0.001, 0.25))
    audit = Audit(overall=rate, families={"cosine": rate}, own=20, studies=1)
    edge = StabilityEdge(edge=0.3, diverged=1)
    warned = Warned(trial=2, optimizer="sgd", lr=0.2, edge=edge)
    gain = Gain(trials=60, expected=0.01, high=0.03)
    advice = Advice(gain=gain, seed_sd=None, warnings=(warned,))
    epochs = replace(load(mixed).epochs, audit=7.5)
    report = load(mixed, audit=audit, advice=advice, epochs=epochs)
    found = hindsight(report)
    assert [row[:3] for row in found.audit.rows] == [("cosine", "20", "1"), ("all", "20", "1")]
    assert ("audit", "7.5", "within the search", "0 s") in tables.cost(report).rows
    content = report_page._content(report, [])
    for name, escaped in (("report.html.jinja", escape), ("report.md.jinja", markdown.escape)):
        text = report_page.template(name).render(content)
        for line in (*found.warnings, *found.lines):
            assert escaped(line) in text


def test_the_plan_is_what_the_budget_bounds(database):
    plan = load(make_study(database, budget={"trials": 20}, confirm={"runs": 2})).plan
    assert (plan.search, plan.confirm) == (80.0, 8.0)
    epochs = load(make_study(database, name="epochs", budget={"epochs": 20})).plan
    assert (epochs.search, epochs.confirm) == (20.0, 0)
    assert load(make_study(database, name="time", budget={"time": "20m"})).plan.search is None


def test_the_best_complete_trial_stands_beside_the_baseline(mixed):
    report = load(mixed)
    assert (report.best.number, report.best.value) == (2, 0.125)
    assert (report.baseline.number, report.baseline.value) == (0, 0.6)
    assert report.baseline.parsed.optimizer_name == "adamw"
    assert [row.number for row in report.ranked] == [2, 1, 0]
    pruned = report.trials[3]
    assert (pruned.value, pruned.state) == (0.05, "pruned")


def test_the_history_improves_with_complete_trials_only(mixed):
    history = series.history(load(mixed))
    assert [point.best for point in history.points] == [0.6, 0.5, *[0.125] * 5]
    assert [point.value for point in history.points] == [0.6, 0.5, 0.125, None, None, None, None]
    assert [point.trial for point in history.points] == list(range(7))
    assert history.baseline == 0.6
    assert (history.metric, history.direction) == ("val_loss", "minimize")


def test_a_metric_that_is_maximised_improves_upwards(database):
    search = make_study(database, objective=ACCURACY)
    for accuracies in ([0.5, 0.7], [0.6, 0.6], [0.2, 0.9]):
        finish(search, TrialState.COMPLETE, rows=scored(accuracies))
    report = load(search)
    assert [point.best for point in series.history(report).points] == [0.7, 0.7, 0.9]
    drawn = series.curves(report)
    assert [curve.values for curve in drawn] == [(0.2, 0.9), (0.5, 0.7), (0.6, 0.6)]
    assert [curve.best for curve in drawn] == [True, False, False]


def test_curves_are_those_of_the_best_five_and_the_baseline(database):
    search = make_study(database, baseline=BASELINE)
    finish(search, TrialState.COMPLETE, [9.0, 8.0])
    for i in range(7):
        finish(search, TrialState.COMPLETE, [1.0, 0.1 * (i + 1)])
    drawn = series.curves(load(search))
    assert [curve.trial for curve in drawn] == [1, 2, 3, 4, 5, 0]
    assert [curve.baseline for curve in drawn] == [False] * 5 + [True]
    assert drawn[0].epochs == (0.5, 1.0)
    assert drawn[0].values == (1.0, 0.1)
    assert drawn[-1].label == "0: adamw lr 0.001 · constant"


def test_a_confirmed_trial_is_drawn_whatever_its_rank(database):
    search = make_study(database)
    ended_trials = [finish(search, TrialState.COMPLETE, [0.1 * (i + 1)]) for i in range(7)]
    report = load(search, [confirmed_entry(ended_trials[6])])
    drawn = series.curves(report)
    assert [curve.trial for curve in drawn] == [0, 1, 2, 3, 4, 6]
    assert [curve.confirmed for curve in drawn] == [False] * 5 + [True]
    assert [point.trial for point in series.lr_points(report) if point.confirmed] == [6]


def test_the_curve_of_deployed_averages_is_theirs(database):
    search = make_study(database, ema={"epochs": 1.0, "deploy": True})
    rows = [curve_row(1, val_loss=2.0, val_loss_ema=0.4), curve_row(2, val_loss_ema=None)]
    finish(search, TrialState.COMPLETE, rows=rows)
    assert series.curves(load(search))[0].values == (0.4, None)


def test_sequences_are_what_the_real_scheduler_gives(mixed):
    drawn = {sequence.trial: sequence for sequence in series.sequences(load(mixed))}
    assert set(drawn) == {0, 1, 2}
    spec = Recipe.from_dict(recipe(lr=0.5, schedule="cosine", warmup=0.25, epochs=EPOCHS))
    optimizer, scheduler = spec.build(nn.Linear(1, 1), steps_per_epoch=STEPS_PER_EPOCH)
    lrs = []
    for _ in range(EPOCHS * STEPS_PER_EPOCH):
        lrs.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    assert drawn[1].lrs == pytest.approx((*lrs, lrs[-1]))
    steps = range(EPOCHS * STEPS_PER_EPOCH + 1)
    assert drawn[1].epochs == pytest.approx([step / STEPS_PER_EPOCH for step in steps])
    assert drawn[1].momenta is None
    assert not drawn[1].recorded


def test_a_plateau_sequence_is_what_was_recorded(mixed):
    drawn = {sequence.trial: sequence for sequence in series.sequences(load(mixed))}[2]
    assert drawn.recorded
    assert drawn.epochs == (0, 0.5, 1, 1.5, 2, 2.5, 3, 3.5, 4)
    assert drawn.lrs == (*[0.2] * 3, *[0.1] * 3, *[0.05] * 3)


def test_an_unrecorded_plateau_has_no_sequence():
    assert recorded_sequence(3, []).lrs == ()


def test_the_sequence_of_a_long_run_is_thinned_with_both_ends():
    long = Recipe.from_dict(recipe(schedule="linear", epochs=10))
    sequence = lr_sequence(0, long, 5000)
    assert len(sequence.lrs) == len(sequence.epochs) == MOST_POINTS
    assert (sequence.epochs[0], sequence.epochs[-1]) == (0, 10)
    assert sequence.lrs[0] == 0.1
    assert 0 < sequence.lrs[-1] < 1e-5
    assert sequence.lrs == tuple(sorted(sequence.lrs, reverse=True))


def test_momentum_is_there_when_the_schedule_cycles_it():
    schedule = {"name": "one_cycle", "cycle_momentum": True}
    for name in ("sgd", "adamw"):
        fields = {"name": name, "lr": 0.1} | ({"momentum": 0.9} if name == "sgd" else {})
        cycled = Recipe.from_dict({"optimizer": fields, "schedule": schedule, "epochs": 5})
        sequence = lr_sequence(0, cycled, 10)
        peak = sequence.lrs.index(max(sequence.lrs))
        assert sequence.momenta[0] == pytest.approx(0.9)
        assert min(sequence.momenta) == pytest.approx(0.8)
        assert abs(sequence.momenta.index(min(sequence.momenta)) - peak) <= 1


def test_a_report_draws_no_random_numbers(mixed):
    before = torch.get_rng_state()
    series.sequences(load(mixed))
    assert torch.equal(before, torch.get_rng_state())


def test_learning_rates_come_with_optimizer_state_and_value(mixed):
    report = load(mixed)
    found = [(p.trial, p.optimizer, p.lr, p.state, p.value) for p in series.lr_points(report)]
    assert found == [
        (0, "adamw", 1e-3, "complete", 0.6),
        (1, "sgd", 0.5, "complete", 0.5),
        (2, "sgd", 0.2, "complete", 0.125),
        (3, "adamw", 0.01, "pruned", None),
        (4, "sgd", 9.0, "diverged", None),
        (5, "adamw", 0.02, "failed", None),
    ]
    assert [point.trial for point in series.lr_points(report) if point.best] == [2]


def test_an_unknown_study_names_the_near_miss(database):
    make_study(database, name="digits")
    with pytest.raises(StudyError, match="no study 'digit'; did you mean 'digits'"):
        load_report(database, "digit")


def test_an_empty_database_says_so(database):
    with pytest.raises(StudyError, match="there are none yet"):
        load_report(database, "digits")


#: A confirmed recipe of no study.
EMPTY_ENTRY = Confirmed(
    trial=7,
    role="winner",
    mean=1.0,
    ci95=None,
    failed=0,
    values=(1.0,),
    seeds=(1,),
    metrics={},
    recipe={},
    epochs=1.0,
    seconds=1.0,
    basin=None,
    optimism=None,
)


# --- pictures


def nothing(search):
    pass


def only_diverged(search):
    for _ in range(5):
        finish(search, TrialState.DIVERGED, reason="training loss is not finite")


def only_failed(search):
    finish(search, TrialState.FAILED, reason="oom")


def one_trial(search):
    finish(search, TrialState.COMPLETE, [0.5])


def still_running(search):
    one_trial(search)
    ask(search)


def only_running(search):
    ask(search)


def only_pruned(search):
    finish(search, TrialState.PRUNED, [0.5, 0.4])


def equal_values(search):
    for _ in range(3):
        finish(search, TrialState.COMPLETE, [0.5, 0.5])


def values_of_both_signs(search):
    for value in (-3.0, 0.0, 2.0):
        finish(search, TrialState.COMPLETE, [value, None, value])


def many_decades(search):
    for value in (1e-6, 1.0, 1e9):
        finish(search, TrialState.COMPLETE, [value, 2 * value])


EDGE_CASES = [
    nothing,
    only_diverged,
    only_failed,
    one_trial,
    still_running,
    only_running,
    only_pruned,
    equal_values,
    values_of_both_signs,
    many_decades,
]


@pytest.mark.parametrize("case", EDGE_CASES)
def test_every_edge_case_becomes_a_report_without_warnings(case, database, tmp_path):
    search = make_study(database)
    case(search)
    report = load(search)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        page = write_report(report, tmp_path / "report")
    parsed = Page(page)
    assert "val_loss" in parsed.text
    assert len(parsed.figures) == sum(tag == "svg" for tag, _ in parsed.tags)
    check_markdown(tmp_path / "report")


def test_a_metric_study_becomes_a_report_without_warnings(database, tmp_path):
    search = make_study(database, objective=ACCURACY)
    for accuracies in ([0.5, 0.7], [0.02, 0.03]):
        finish(search, TrialState.COMPLETE, rows=scored(accuracies))
    finish(search, TrialState.DIVERGED)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        page = write_report(load(search), tmp_path)
    assert "accuracy 0.7" in Page(page).text


def draw_history(report):
    ax = Figure().add_subplot()
    plots.plot_history(series.history(report), ax)
    return ax


def draw_lr(report, optimizer):
    ax = Figure().add_subplot()
    points = series.lr_points(report)
    plots.plot_lr_against_value(points, optimizer, ax, metric="val_loss", direction="minimize")
    return ax


def lines(ax, word):
    return [line for line in ax.lines if word in str(line.get_label())]


@pytest.mark.parametrize(("objective", "edge"), [("val_loss", "top"), (ACCURACY, "bottom")])
def test_diverged_trials_stand_at_the_worse_edge(objective, edge, database):
    search = make_study(database, objective=objective)
    finish(search, TrialState.COMPLETE, rows=scored([0.5]))
    finish(search, TrialState.DIVERGED)
    ax = draw_history(load(search))
    (crosses,) = lines(ax, "diverged")
    assert list(crosses.get_xdata()) == [1]
    assert crosses.get_marker() == "x"
    assert crosses.get_transform() == ax.get_xaxis_transform()  # y is a fraction of the axes
    assert (crosses.get_ydata()[0] > 0.9) == (edge == "top")
    assert (crosses.get_ydata()[0] < 0.1) == (edge == "bottom")


def test_pruned_trials_are_hollow_and_complete_ones_filled(mixed):
    ax = draw_history(load(mixed))
    (pruned,), (complete,) = lines(ax, "pruned"), lines(ax, "complete")
    assert pruned.get_markerfacecolor() == "none"
    assert pruned.get_transform() == ax.get_xaxis_transform()  # at the edge: it has no result
    assert complete.get_markerfacecolor() != "none"
    assert list(complete.get_ydata()) == [0.6, 0.5, 0.125]


def test_losses_over_decades_are_on_a_log_scale_and_accuracies_never(database):
    search = make_study(database)
    for value in (0.01, 0.9):
        finish(search, TrialState.COMPLETE, [value])
    assert draw_history(load(search)).get_yscale() == "log"
    accurate = make_study(database, name="accurate", objective=ACCURACY)
    for value in (0.01, 0.9):
        finish(accurate, TrialState.COMPLETE, rows=scored([value]))
    assert draw_history(load(accurate)).get_yscale() == "linear"


def test_losses_of_one_decade_are_on_a_linear_scale(database):
    search = make_study(database)
    for value in (0.1, 0.9):
        finish(search, TrialState.COMPLETE, [value])
    assert draw_history(load(search)).get_yscale() == "linear"


def test_axes_say_what_they_show_and_which_way_is_better(mixed):
    report = load(mixed)
    ax = draw_history(report)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("trial", "val_loss (lower is better)")
    sgd, adamw = draw_lr(report, "sgd"), draw_lr(report, "adamw")
    assert (sgd.get_title(), adamw.get_title()) == ("sgd (3 trials)", "adamw (3 trials)")
    assert sgd.get_xscale() == adamw.get_xscale() == "log"
    assert sgd.get_xlabel() == adamw.get_xlabel() == "learning rate (peak)"


def test_best_and_winner_are_marked_in_the_panel_of_their_optimizer(mixed):
    winner = load(mixed).trials[1]
    entry = confirmed_entry(ask_like(winner))
    report = load(mixed, [entry])
    sgd, adamw = draw_lr(report, "sgd"), draw_lr(report, "adamw")
    assert [list(line.get_xdata()) for line in lines(sgd, "best of search")] == [[0.2]]
    assert [list(line.get_xdata()) for line in lines(sgd, "confirmed winner")] == [[0.5]]
    assert not lines(adamw, "best of search")
    assert not lines(adamw, "confirmed winner")


class ask_like:  # noqa: N801 - reads as a function
    """Number and recipe of a row, as an assignment has them."""

    def __init__(self, row):
        self.number, self.recipe = row.number, row.parsed


def test_each_trial_has_one_colour_and_dash_in_curves_and_learning_rates(mixed):
    report = load(mixed)
    curve_ax, lr_ax = Figure().subplots(1, 2)
    drawn = series.curves(report)
    plots.plot_curves(drawn, curve_ax, metric="val_loss", direction="minimize")
    plots.plot_lr_sequences(series.sequences(report), drawn, lr_ax)
    looks = [
        [(line.get_label(), line.get_color(), line.get_linestyle()) for line in ax.lines]
        for ax in (curve_ax, lr_ax)
    ]
    assert looks[0] == looks[1]
    assert len({colour for _, colour, _ in looks[0]}) == 3


def test_learning_rates_that_are_decades_apart_are_on_a_log_scale(mixed):
    report, ax = load(mixed), Figure().add_subplot()
    plots.plot_lr_sequences(series.sequences(report), series.curves(report), ax)
    assert ax.get_yscale() == "log"


def test_a_curve_without_validations_is_left_out():
    ax = Figure().add_subplot()
    curve = Curve(
        trial=0, label="0", best=False, confirmed=False, baseline=True, epochs=(), values=()
    )
    plots.plot_curves([curve], ax, metric="val_loss", direction="minimize")
    assert not ax.lines


def test_no_display_is_asked_for():
    code = "import sys, lrsearch.report.page.page; assert 'matplotlib.pyplot' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


# --- words


@pytest.mark.parametrize("value", [2.0, 2.005, 1.995])
def test_a_value_that_the_runs_repeat_was_neither_better_nor_worse(value):
    percent = 100 * (2.0 - value) / 2.0
    optimism = Optimism(search=value, gap=2.0 - value, percent=percent)
    assert promised(optimism) == ", within 1 % of its mean on fresh seeds"
    assert promised(replace(optimism, percent=None)) == promised(None) == ""


@pytest.mark.parametrize(
    ("direction", "difference", "verdict"),
    [("minimize", 0.1, "worse"), ("minimize", -0.1, "better"), ("maximize", -0.1, "worse")],
)
def test_a_runner_up_that_is_not_tied_is_worse_or_better(direction, difference, verdict):
    beside = Difference(n=1, mean=difference, ci95=None, p=None)
    runner_up = RunnerUp(trial=8, round="choose", tied=False, difference=beside)
    reasons = Reasons(why="x", tied_with=(), runner_up=runner_up, test=None)
    first = replace(EMPTY_ENTRY, reasons=reasons)
    _, line = sentences(first, Objective(metric="mae", direction=direction))
    score = f"Its mae differs by {difference:+g} on 1 seed used to choose"
    assert line == f"The runner-up, trial 8, is {verdict}. {score}."


def test_the_cost_stands_against_the_plan(mixed):
    assert tables.cost(load(mixed)).rows == (
        ("search", "14.5", "48", "6 s"),
        ("confirmation", "0", "12", "0 s"),
        ("total", "14.5", "60", "6 s"),
    )


def test_a_cost_without_a_bound_has_no_bounded_total(database):
    search = make_study(database, budget={"time": "20m"})
    one_trial(search)
    bounds = [row[2] for row in tables.cost(load(search)).rows]
    assert bounds[0] == bounds[-1] == format.EMPTY


@pytest.mark.parametrize(
    ("mean", "half", "text"),
    [
        (0.05726, 0.00644, "0.0573 ± 0.0064"),
        (0.5, 0.0, "0.5 ± 0"),
        (1234.5, 8.7, "1234.5 ± 8.7"),
        (12345.0, 870.0, "1.234e+04 ± 8.7e+02"),
        (1e-9, 2e-10, "1e-09 ± 2e-10"),
    ],
)
def test_mean_and_interval_have_the_same_decimals(mean, half, text):
    assert format.mean(mean, (mean - half, mean + half)) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0, "0 s"), (0.534, "0.53 s"), (45.2, "45 s"), (130.0, "2 min"), (9000.0, "2.5 h")],
)
def test_a_duration_is_short(seconds, text):
    assert format.duration(seconds) == text


# --- range tests


def with_range_tests(database, **rows):
    """A study with these range tests: a result, a reason why it failed, or None while it waits."""
    search = make_study(database)
    plan = [PlannedTest(optimizer=name, seeds=5, epochs_reserved=20.0) for name in rows]
    with database.begin() as connection:
        range_tests.add(connection, search.study_id, plan)
        for result in rows.values():
            if result is None:
                break
            row = range_tests.claim(connection, search.study_id, "a:1:1", LEASE)
            end = RangeTestEnd(state=TrialState.COMPLETE, epochs=16.0, seconds=2.0)
            if isinstance(result, str):
                end = replace(end, state=TrialState.FAILED, reason=result)
            else:
                end = replace(end, result=result.to_dict(), reason=result.reason)
            range_tests.record(connection, row, end)
    return search


def noisy(*seeds):
    return [make_ramp(1e-2 * 1.3**seed, 1.0, noise=0.1, seed=seed) for seed in seeds]


FLAT = make_ramp(1e9, 1e9, noise=0.1)


def test_range_tests_are_a_table_a_picture_and_a_cost(database, tmp_path):
    sgd = make_result(*noisy(0, 1, 2))
    search = with_range_tests(
        database, sgd=sgd, adamw=make_result(FLAT, optimizer="adamw"), rmsprop="a|b", adam=None
    )
    report = load(search)
    first, second, third, fourth = range_test_table(report.range_tests).rows
    low, high = sgd.window
    assert first[:2] == ("sgd", f"{low:.2g} to {high:.2g}")
    valley = sgd.valley
    assert first[4] == f"{valley.median:.2g} ({valley.low:.2g} to {valley.high:.2g})"
    assert first[-1] == "3"
    assert second[1].startswith("none: the loss fell by less")
    assert third[:3] == ("rmsprop", "none: a|b", format.EMPTY)
    assert fourth[:2] == ("adam", "waiting")
    name, spent, _, seconds = tables.cost(report).rows[0]
    assert (name, spent, seconds) == ("range test", "48", "6 s")
    shown = study_text(report, verbose=True).splitlines()
    assert f"range test of sgd: lr {low:.3g} to {high:.3g}" in shown
    assert "range test of rmsprop: no window, a|b" in shown
    assert "range test of adam: no window, waiting" in shown
    page = Page(write_report(report, tmp_path))
    assert "range_test" in page.figures
    text = check_markdown(tmp_path)
    assert "## Range test" in text
    assert "none: a\\|b" in text


def test_a_range_test_is_drawn_with_its_seeds_window_and_edge():
    result = make_result(*noisy(0, 1, 2))
    ax = Figure().add_subplot()
    handles = range_test.plot_range_test(result, ax)
    labels = ["a seed's loss", "smoothed, median of seeds", "window", "valley"]
    assert list(handles) == [*labels, "lowest / 10", "edge"]
    drawn = [line for line in ax.lines if len(line.get_xdata()) > 2]
    assert [len(line.get_xdata()) for line in drawn[:3]] == [len(r.lrs) for r in result.ramps]
    (shade,) = ax.patches
    assert (shade.get_x(), shade.get_x() + shade.get_width()) == pytest.approx(result.window)
    bottom, top = ax.get_ylim()
    assert bottom < min(min(ramp.losses) for ramp in result.ramps)
    assert result.ramps[0].losses[0] < top < max(max(ramp.losses) for ramp in result.ramps)


@pytest.mark.parametrize("count", [0, 1, 2, 3, 7])
def test_any_number_of_optimizers_is_drawn(count, tmp_path):
    results = [make_result(FLAT)] * count
    figure = range_test.range_tests_figure(results)
    assert len(figure.axes) == count
    assert len(figure.legends) == min(count, 1)
    range_test.draw_range_tests(results, tmp_path / "ramps.png")


@pytest.mark.parametrize(
    ("name", "first"), [("ramps.png", b"\x89PNG"), ("ramps", b"\x89PNG"), ("ramps.pdf", b"%PDF")]
)
def test_a_picture_is_of_the_kind_that_its_name_says(name, first, tmp_path):
    range_test.draw_range_tests([make_result(FLAT)], tmp_path / name)
    assert (tmp_path / name).read_bytes().startswith(first)


@pytest.mark.parametrize("name", ["nowhere/ramps.png", "ramps.doc"])
def test_a_picture_that_cannot_be_written_is_told_in_one_line(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SpecError, match=rf"^--plot {name}: .+$"):
        range_test.draw_range_tests([make_result(FLAT)], Path(name))


# --- files


class Page(HTMLParser):
    """What of a page the tests look at."""

    def __init__(self, path):
        super().__init__()
        self.language, self.headings, self.figures, self.tags = None, [], [], []
        self.text, self._stack = "", []
        self.source = path.read_text(encoding="utf-8")
        self.feed(self.source)
        self.close()
        assert not self._stack, self._stack

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.tags.append((tag, attributes))
        if tag == "html":
            self.language = attributes["lang"]
        if tag == "figure":
            self.figures.append(attributes["id"])
        if re.fullmatch(r"h[1-6]", tag):
            self.headings.append(int(tag[1]))
        if tag not in {"meta", "link", "input"}:
            self._stack.append(tag)

    def handle_endtag(self, tag):
        assert self._stack.pop() == tag

    def handle_data(self, data):
        if not {"style", "script"} & set(self._stack):
            self.text += data


def check_markdown(folder):
    """Every link leads to a file, every table has rows of equal length."""
    text = (folder / "report.md").read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)]*)\)", text)
    assert sorted(links) == sorted(path.name for path in folder.glob("*.svg"))
    for link in links:
        assert ElementTree.parse(folder / link).getroot().tag.endswith("svg")
    table = []
    for line in [*text.splitlines(), ""]:
        if line.startswith("|"):
            table.append(len(re.findall(r"(?<!\\)\|", line)))
        elif table:
            assert len(set(table)) == 1, table
            table = []
    return text


@pytest.fixture(scope="module")
def written(mixed, tmp_path_factory):
    """A confirmed report of a study with every state, written."""
    entry = confirmed_entry(ask_like(load(mixed).trials[2]))
    report = load(mixed, [entry])
    return report, write_report(report, tmp_path_factory.mktemp("out") / "new" / "folder")


def test_a_report_is_its_page_its_text_and_a_file_for_each_figure(written):
    _, path = written
    names = {file.name for file in path.parent.iterdir()}
    figures = {f"{name}.svg" for name in Page(path).figures}
    assert names == {"report.html", "report.md", *figures}
    assert {"curves.svg", "history.svg", "schedules.svg"} <= figures


def test_figures_are_written_as_png_too_where_that_is_asked_for(mixed, tmp_path):
    page = write_report(load(mixed), tmp_path, png=True)
    pictures = {path.stem: path.read_bytes() for path in tmp_path.glob("*.png")}
    assert pictures.keys() == set(Page(page).figures)
    assert all(found.startswith(b"\x89PNG") for found in pictures.values())


def test_the_page_asks_for_nothing_from_outside(written):
    _, path = written
    page = Page(path)
    assert "default-src 'none'" in page.source
    for tag, attributes in page.tags:
        assert tag not in {"iframe", "object", "embed"}
        for key in ("src", "srcset", "href"):
            assert attributes.get(key, "data:").startswith(("data:", "#"))


def test_the_page_can_be_read_aloud(written):
    _, path = written
    page = Page(path)
    assert page.language == "en"
    assert page.headings[0] == 1
    assert page.headings.count(1) == 1
    steps = zip(page.headings, page.headings[1:], strict=False)
    assert all(below <= above + 1 for above, below in steps)
    labels = [a["aria-label"] for tag, a in page.tags if tag == "svg"]
    assert len(labels) == len(page.figures) > 3
    assert all(len(label) > 20 for label in labels)


def test_the_answer_comes_first(written):
    report, path = written
    text = Page(path).text
    places = [
        text.index(part)
        for part in (
            "1 failed",
            "Best recipe",
            Recipe.from_dict(report.winner.recipe).title(),
            "val_loss 0.300 ± 0.050",
            "How it was chosen",
            "0.125",
            "Your baseline is",
            "What it cost",
            "lrsearch export tiny",
            "Figures",
            "Confirmation",
            "What produced this report",
            "validate_every",
            "The best 3 of 3 complete trials",
        )
    ]
    assert places == sorted(places)


def test_what_users_wrote_is_text_not_markup(written):
    _, path = written
    page = Page(path)
    assert "RuntimeError: <b>bad</b> | table" in page.text
    assert "b" not in {tag for tag, _ in page.tags}
    text = check_markdown(path.parent)
    assert "RuntimeError: &lt;b>bad&lt;/b> \\| table" in text


def test_notes_are_shown_as_they_are(database, tmp_path):
    search = make_study(database, notes="first <line>\nsecond")
    page = write_report(load(search), tmp_path)
    assert "first <line>\nsecond" in Page(page).text
    assert "> first &lt;line>\n> second\n" in (tmp_path / "report.md").read_text()


def test_markdown_says_what_the_page_says(written):
    report, path = written
    text = check_markdown(path.parent)
    found = answer(report)
    for part in (found.heading, found.recipe, *found.lines, *found.details):
        assert part in text
    assert text.count("\n| 2 |") == 3  # confirmed, among the best, among all


def test_a_report_is_written_over_the_last_one(written):
    report, path = written
    before = path.read_bytes()
    write_report(report, path.parent)
    assert path.read_bytes() == before


def test_a_folder_that_cannot_be_written_is_one_line(written, tmp_path):
    report, _ = written
    (tmp_path / "file").write_text("")
    with pytest.raises(LrsearchError, match=r"file/report: cannot write the report: ") as caught:
        write_report(report, tmp_path / "file" / "report")
    assert "\n" not in str(caught.value)
