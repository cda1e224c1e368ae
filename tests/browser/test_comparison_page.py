"""The page of `study compare` in a real browser: no errors, nothing fetched, fit for a phone."""

from dataclasses import replace
from pathlib import Path

import pytest
from lr_reports import basin_trials, made_report
from made_reports import runs_of
from playwright.sync_api import sync_playwright

from lrsearch.report.comparison.comparison import comparison
from lrsearch.report.comparison.entry import Entry
from lrsearch.report.comparison.page import page_text

CHROMIUM = Path("/usr/bin/chromium")
OPTIONS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
DESKTOP = {"width": 1200, "height": 900}
PHONE = {"width": 390, "height": 844}

pytestmark = pytest.mark.skipif(not CHROMIUM.exists(), reason="chromium is not installed")

VALUES = [0.20, 0.21, 0.19, 0.205]


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """The page of two studies, each with basins and runs with fresh seeds."""
    entries = []
    for number, name in enumerate(("narrow", "a-study-with-a-name-that-is-rather-long"), start=1):
        trials, marks = basin_trials(60, seed=number, pruned=0.2)
        best = next(trial.number for trial in trials if trial.state == "complete")
        runs = runs_of(best, [value + 0.02 * number for value in VALUES])
        report = made_report(trials, marks=marks, runs=runs)
        report = replace(report, study=replace(report.study, study_id=number))
        entries.append(Entry(label=name, report=report))
    file = tmp_path_factory.mktemp("compared") / "compare.html"
    file.write_text(page_text(comparison(entries)))
    return file


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as player:
        found = player.chromium.launch(executable_path=str(CHROMIUM), args=OPTIONS)
        yield found
        found.close()


@pytest.mark.parametrize(("size", "scheme"), [(DESKTOP, "light"), (PHONE, "dark")])
def test_its_charts_are_drawn_without_errors_and_fit(file, browser, size, scheme):
    context = browser.new_context(viewport=size, color_scheme=scheme)
    page, said, fetched = context.new_page(), [], []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: fetched.append(request.url))
    page.goto(file.as_uri())
    for chart in page.query_selector_all("[data-chart]"):
        chart.scroll_into_view_if_needed()
    page.wait_for_function(
        "[...document.querySelectorAll('[data-chart]')].every(host => host.dataset.drawn)"
    )
    assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]
    page.select_option("#filter-optimizer", "adamw")
    page.click("#filter-clear")
    assert page.input_value("#filter-optimizer") == ""
    context.close()
    assert said == []
    assert [url for url in fetched if not url.startswith(("file:", "data:"))] == []


def test_without_scripts_the_page_is_whole(file, browser):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(file.as_uri())
    assert page.locator("figure svg").count() == 3
    assert page.locator("#controls").is_hidden()
    assert "worse val_loss than narrow" in page.inner_text("#answer")
    context.close()
