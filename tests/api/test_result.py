"""`Result`: what it holds equals what the database has, and it goes on from there."""

import builtins
import csv
import io
import json
import re
from html.parser import HTMLParser

import pytest
import torch
from click.testing import CliRunner
from tiny_studies import search_here

import lrsearch
from lrsearch.api.html import result_html
from lrsearch.cli import cli


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    return f"sqlite:///{tmp_path_factory.mktemp('result')}/study.db"


@pytest.fixture(scope="module")
def result(url):
    """Of the tiny study, confirmed, which no test changes."""
    baseline = {"optimizer": {"name": "sgd", "lr": 0.01}, "schedule": "constant"}
    return search_here(name="tiny", storage=url, baseline=baseline, budget={"runs": 12})


@pytest.fixture(scope="module")
def bare(url):
    """Of a study without confirmation."""
    fields = {"budget": {"trials": 4}, "confirm": "none", "pruning": "none"}
    return search_here(name="bare", storage=url, **fields)


def printed(url, *words):
    """What a command prints."""
    done = CliRunner().invoke(cli, [*words, "--storage", url], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


# Trials and curves


def test_trials_are_those_that_the_command_prints(result, url):
    rows = json.loads(printed(url, "study", "trials", "tiny", "--json"))
    assert len(result.trials) == len(rows) >= 12
    for trial, row in zip(result.trials, rows, strict=True):
        assert trial.number == row["trial"]
        assert trial.recipe == lrsearch.Recipe.from_dict(row["recipe"])
        assert trial.metrics == (row["metrics"] or {})
        for name in ("state", "value", "epochs", "attempts", "reason", "seconds", "kind"):
            assert getattr(trial, name) == row[name]
        assert trial.is_complete == (row["state"] == "complete")


def test_curves_are_those_that_the_command_prints(result, url):
    rows = json.loads(printed(url, "study", "curves", "tiny", "--json"))
    points = result.curves()
    assert len(points) == len(rows) > 12
    for point, row in zip(points, rows, strict=True):
        assert point.metrics == {"mae": row["mae"]}
        assert point.value == row["val_loss"]
        for name in set(row) - {"mae", "attempt"}:
            assert getattr(point, name) == row[name]


def test_the_curve_of_one_trial(result):
    everything = result.curves()
    for number in (0, 5):
        assert result.curves(number) == tuple(p for p in everything if p.trial == number)
    with pytest.raises(
        lrsearch.StudyError, match=r"^study 'tiny' has no trial 99; its trials are 0 to \d+$"
    ):
        result.curves(99)


def test_a_trial_is_worth_the_best_point_of_its_curve(bare):
    for trial in bare.trials:
        values = [point.value for point in bare.curves(trial.number) if point.value is not None]
        assert trial.value == (min(values) if trial.is_complete else trial.value)
    assert min(trial.value for trial in bare.trials if trial.is_complete) == bare.value


def test_the_best_trial_is_among_the_trials(result, bare):
    for found in (result, bare):
        (trial,) = [trial for trial in found.trials if trial.number == found.trial]
        assert trial.recipe == found.best
    assert bare.value == trial.value
    assert result.value != result.trials[result.trial].value  # on fresh seeds


# Tables of pandas


def test_the_table_of_trials_is_the_trials(result):
    frame = result.trials_frame()
    assert len(frame) == len(result.trials)
    assert list(frame.columns[:3]) == ["number", "state", "kind"]
    for trial, (_, row) in zip(result.trials, frame.iterrows(), strict=True):
        assert (row["number"], row["state"]) == (trial.number, trial.state)
        assert row["optimizer.lr"] == trial.recipe.lr
        assert row["schedule.name"] == trial.recipe.schedule_name
        assert row["warmup"] == trial.recipe.warmup
        measured = trial.metrics.get("mae")
        assert row["metrics.mae"] == measured if measured is not None else "metrics.mae" in row
    best = frame.loc[frame["state"] == "complete", "value"].min()
    assert best == min(trial.value for trial in result.trials if trial.is_complete)


def test_a_recipe_can_be_made_again_from_its_row(result):
    for trial, (_, row) in zip(result.trials, result.trials_frame().iterrows(), strict=True):
        parts = {"optimizer": {}, "schedule": {}, "params": {}}
        for column, value in row.items():
            part, _, field = column.partition(".")
            if part in parts and field in getattr(trial.recipe, part):
                parts[part][field] = value
        # A column of one value's type may have become one of floats.
        assert parts["optimizer"] == trial.recipe.optimizer
        assert parts["schedule"] == trial.recipe.schedule
        assert parts["params"] == trial.recipe.params


def test_columns_of_one_part_stand_together(result):
    parts = [name.partition(".")[0] for name in result.trials_frame().columns]
    changes = [part for i, part in enumerate(parts) if i == 0 or parts[i - 1] != part]
    assert len(changes) == len(set(changes))


def test_the_table_of_curves_is_that_of_the_command(result, url):
    rows = list(csv.DictReader(io.StringIO(printed(url, "study", "curves", "tiny", "--csv"))))
    frame = result.curves_frame()
    assert list(frame["step"]) == [int(row["step"]) for row in rows]
    assert list(frame["metrics.mae"]) == [float(row["mae"]) for row in rows]
    assert len(result.curves_frame(0)) == len(result.curves(0))


def test_an_empty_table_has_its_columns(result, url):
    from lrsearch.api.frames import curves_frame, trials_frame

    assert list(trials_frame([]).columns)[:2] == ["number", "state"]
    assert "val_loss" in curves_frame([]).columns


@pytest.mark.parametrize("name", ["trials_frame", "curves_frame"])
def test_without_pandas_one_line_says_what_to_do(name, result, monkeypatch):
    real = builtins.__import__

    def without(module, *rest):
        if module == "pandas":
            raise ImportError("No module named 'pandas'")
        return real(module, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(lrsearch.LrsearchError) as raised:
        getattr(result, name)()
    plain = name.removesuffix("_frame")
    assert str(raised.value) == (
        f"{name}(): pandas is not installed; install it (pip install pandas), or use {plain}"
    )


# HTML


class Cells(HTMLParser):
    """Texts of cells, and everything that a page would fetch or run."""

    def __init__(self, text):
        super().__init__()
        self.rows, self.open, self.foreign = [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("script", "link", "img", "iframe", "style"):
            self.foreign.append(tag)
        self.foreign += [name for name, _ in attributes if name in ("src", "href", "onclick")]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1:] in (["td"], ["th"]):
            self.rows[-1].append(data)


def test_a_notebook_shows_a_table_with_the_recommended_recipe_first(result):
    text = result._repr_html_()
    shown = Cells(text)
    heads, first, *rest = shown.rows
    assert heads == ["trial", "recipe", "val_loss", "fresh seeds"]
    assert first[:2] == [f"{result.trial} (recommended)", result.best.title()]
    mean, half = map(float, first[2].split(" ± "))
    assert mean == pytest.approx(result.value, rel=0.05)
    assert half == pytest.approx((result.interval[1] - result.interval[0]) / 2, rel=0.05)
    assert first[3] == f"{result.confirmed_runs} runs"
    assert len(rest) == len({row[0] for row in rest})
    assert shown.foreign == []
    assert result.counts.title() in text


def test_without_confirmation_the_best_trials_are_shown(bare):
    heads, *rows = Cells(bare._repr_html_()).rows
    assert heads == ["trial", "recipe", "val_loss"]
    ranked = sorted((t for t in bare.trials if t.is_complete), key=lambda trial: trial.value)
    assert [int(row[0]) for row in rows] == [trial.number for trial in ranked[:5]]
    assert "not confirmed" in bare._repr_html_()


def test_without_a_complete_trial_the_reason_is_shown(url):
    def nothing():
        return torch.nn.Linear(4, 1)

    x = torch.randn(64, 4, generator=torch.Generator().manual_seed(0))
    task = lrsearch.Task(
        model=nothing,
        train=(x, x[:, :1]),
        validation=(x[:8] + 1, x[:8, :1]),
        loss=lambda output, target: (output - target).square().mean(),
    )
    space = {"optimizers": {"sgd": {"lr": 1e12, "momentum": 0.0}}, "schedules": {"constant": {}}}
    result = lrsearch.search(
        task, name="lost", storage=url, epochs=2, trials=2, space=space, portfolio="none"
    )
    assert (result.best, result.trial, result.value, result.interval) == (None, None, None, None)
    assert repr(result).startswith("Result(lost: No answer. All 2 ended trials diverged")
    assert "<table" not in result._repr_html_()
    with pytest.raises(lrsearch.StudyError, match="no complete trial to export"):
        result.export()
    with pytest.raises(lrsearch.StudyError, match="no complete trial to confirm"):
        result.confirm()


def test_names_are_escaped(result):
    report = result._report
    from dataclasses import replace

    renamed = replace(report, study=replace(report.study, name="<script>alert(1)</script>"))
    shown = Cells(result_html(renamed, result.counts))
    assert shown.foreign == []


# Export and report


@pytest.mark.parametrize("form", ["yaml", "json", "torch"])
def test_an_export_is_that_of_the_command(form, result, url, tmp_path):
    text = result.export(form)
    assert text == printed(url, "export", "tiny", "--format", form)
    assert result.export(form, tmp_path / "best") == tmp_path / "best"
    assert (tmp_path / "best").read_text(encoding="utf-8") == text


def test_an_exported_recipe_is_the_best(result, tmp_path):
    assert lrsearch.Recipe.load(result.export("yaml", tmp_path / "best.yaml")) == result.best
    assert lrsearch.Recipe.load(result.export("json", tmp_path / "best.json")) == result.best
    third = result.export("json", tmp_path / "third.json", trial=2)
    assert lrsearch.Recipe.load(third) == result.trials[2].recipe


def test_an_export_goes_into_a_folder_over_other_epochs(result, tmp_path):
    path = result.export("yaml", tmp_path, epochs=16)
    assert path == tmp_path / "best.yaml"
    stretched = lrsearch.Recipe.load(path)
    assert (stretched.epochs, stretched.lr) == (16, result.best.lr)
    assert "the best lr may move with the horizon" in path.read_text(encoding="utf-8")


def test_wrong_exports_are_told_in_one_line(result, tmp_path):
    with pytest.raises(lrsearch.SpecError, match=r"format = 'yam'.*did you mean 'yaml'"):
        result.export("yam")
    with pytest.raises(
        lrsearch.StudyError, match=r"^study 'tiny' has no trial 99; its trials are 0 to \d+$"
    ):
        result.export(trial=99)
    with pytest.raises(lrsearch.StudyError, match=r"^export\(\): cannot write .*absent/best"):
        result.export("yaml", tmp_path / "absent" / "best")


def test_a_report_is_written(result, tmp_path, monkeypatch):
    page = result.report(tmp_path / "out")
    assert page == tmp_path / "out" / "report.html"
    assert result.best.title() in re.sub(r"\s+", " ", page.read_text(encoding="utf-8"))
    assert lrsearch.Recipe.load(page.with_name("best.yaml")) == result.best
    monkeypatch.chdir(tmp_path)
    assert result.report().resolve() == tmp_path / "tiny-report" / "report.html"
    (tmp_path / "file").write_text("")
    with pytest.raises(lrsearch.StudyError, match=r"cannot write the report in .*file"):
        result.report(tmp_path / "file")


# Confirmation


def test_a_task_object_is_confirmed_in_this_process(tmp_path):
    url = f"sqlite:///{tmp_path}/study.db"
    before = search_here(storage=url, name="mine", confirm="none", budget={"trials": 20})
    assert before.confirmed_runs == 0
    after = before.confirm(candidates=2, runs=4)
    assert before.confirmed_runs == 0  # a result is of its moment
    assert after.confirmed_runs > 0
    assert after.value is not None
    assert after.trials == before.trials
    assert after.interval is None or after.interval[0] <= after.value <= after.interval[1]
    again = after.confirm(candidates=2, runs=4)
    assert (again.value, again.interval) == (after.value, after.interval)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"candidates": 0}, "confirm(): candidates = 0: at least 1 is needed"),
        ({"runs": -1}, "confirm(): runs = -1: at least 1 is needed"),
        ({"runs": 1000}, "confirm(): runs = 1000: the budget allows at most"),
    ],
)
def test_a_wrong_confirmation_is_told_in_one_line(arguments, message, result):
    with pytest.raises(lrsearch.LrsearchError) as raised:
        result.confirm(**arguments)
    assert str(raised.value).startswith(message)
    assert "\n" not in str(raised.value)
