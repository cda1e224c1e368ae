"""The report's page in a real browser: no errors, nothing fetched, readable on a phone."""

from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright
from tiny_studies import LEASE, ask, curve_row, ended, make_study

from lrsearch.confirmation.runs import REPORT, WINNER, PlannedRun
from lrsearch.recipe.recipe import Recipe
from lrsearch.report.load import load_report
from lrsearch.report.page.page import write_report
from lrsearch.report.text import format
from lrsearch.storage import confirmations, curves
from lrsearch.storage.ends import ConfirmationEnd
from lrsearch.study.prepare_database import open_database
from lrsearch.trial.states import TrialState

CHROMIUM = Path("/usr/bin/chromium")
OPTIONS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
DESKTOP = {"width": 1200, "height": 900}
PHONE = {"width": 390, "height": 844}

pytestmark = pytest.mark.skipif(not CHROMIUM.exists(), reason="chromium is not installed")


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A confirmed report with trials of every state and long words, and its page."""
    folder = tmp_path_factory.mktemp("report")
    database = open_database(f"sqlite:///{folder}/study.db", create=True)
    search = make_study(database, notes="n" * 120)
    finish(search, TrialState.DIVERGED, [30.0], reason="training loss 34 is above 23 at step 3")
    finish(search, TrialState.FAILED, [], reason="RuntimeError: " + "x" * 300)
    finish(search, TrialState.PRUNED, [1.0, 0.9])
    trials = [finish(search, TrialState.COMPLETE, [1.0, 0.2 + 0.1 * i]) for i in range(3)]
    confirm(search, trials[1].number)
    report = load_report(database, search.name, with_curves=True)
    database.close()
    return report, write_report(report, folder / "page")


def confirm(search, number):
    """Nine runs of a trial with fresh seeds."""
    with search.database.begin() as connection:
        runs = [
            PlannedRun(round=REPORT, role=WINNER, number=number, seed=seed) for seed in range(1, 10)
        ]
        confirmations.add(connection, search.study_id, runs)
        for i in range(len(runs)):
            run = confirmations.claim(connection, search.study_id, "a:1:1", LEASE)
            end = ConfirmationEnd(
                state=TrialState.COMPLETE,
                epochs=4.0,
                seconds=1.0,
                value=0.30 + 0.01 * (i % 3),
                metrics={"mae": 0.4},
            )
            assert confirmations.record(connection, run, end)


def finish(search, state, losses, reason=None):
    assignment = ask(search)
    rows = [curve_row(i + 1, val_loss=loss) for i, loss in enumerate(losses)]
    with search.database.begin() as connection:
        curves.add(connection, assignment.claim, rows)
    search.tell(assignment, ended(state, reason=reason))
    return assignment


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=OPTIONS)
        yield browser
        browser.close()


@pytest.fixture(params=[DESKTOP, PHONE], ids=["desktop", "phone"])
def viewport(request):
    return request.param


@pytest.fixture(params=["light", "dark"])
def scheme(request):
    return request.param


@pytest.fixture
def page(browser, written, viewport, scheme):
    """The open page, with the console's messages and the requests it has made."""
    page = browser.new_page(viewport=viewport, color_scheme=scheme)
    page.messages, page.requests = [], []
    page.on("console", lambda message: page.messages.append(message.text))
    page.on("pageerror", lambda error: page.messages.append(str(error)))
    page.on("request", lambda request: page.requests.append(request.url))
    page.goto(written[1].as_uri())
    page.wait_for_load_state("networkidle")
    yield page
    page.close()


def test_the_console_is_silent_and_nothing_is_fetched(page, written):
    outside = [url for url in page.requests if not url.startswith("data:")]
    assert outside == [written[1].as_uri()]
    assert page.messages == []


def test_the_answer_is_visible_without_scrolling(page, written, viewport):
    recipe = page.get_by_text(Recipe.from_dict(written[0].winner.recipe).title(), exact=True).first
    score = page.get_by_text(format.mean(written[0].winner.mean, written[0].winner.ci95)).first
    for element in (recipe, score):
        assert element.is_visible()
        box = element.bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= viewport["width"]
        assert box["y"] + box["height"] <= viewport["height"]


def test_no_content_is_wider_than_the_window(page, viewport):
    for opened in (False, True):
        page.evaluate(f"document.querySelectorAll('details').forEach(d => d.open = {opened:d})")
        assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]


def drawn(page):
    """Every chart, scrolled to and drawn by the page's script."""
    hosts = page.locator("[data-chart]").all()
    for host in hosts:
        host.scroll_into_view_if_needed()
        host.and_(page.locator("[data-drawn]")).wait_for()
    return hosts


def test_every_figure_is_drawn_inside_its_box(page):
    hosts = drawn(page)
    assert len(hosts) >= 4
    for host in hosts:
        assert host.evaluate("host => host.scrollWidth <= host.clientWidth")
        assert len(host.locator("svg").first.get_attribute("aria-label")) > 20
    assert page.messages == []


def test_a_chosen_trial_is_marked_in_figures_and_table(page, written):
    number = written[0].best.number
    drawn(page)
    page.get_by_label("Trial", exact=True).fill(str(number))
    page.get_by_label("Trial", exact=True).press("Enter")
    assert page.locator("tr.chosen").get_attribute("data-trial") == str(number)
    assert page.locator("#history .chosen").count() >= 1
    assert f"Trial {number}:" in page.locator("#filter-status").inner_text()


def test_a_filter_leaves_the_trials_of_one_optimizer(page, written):
    names = {trial.parsed.optimizer_name for trial in written[0].trials}
    name = sorted(names)[0]
    page.locator("#filter-optimizer").select_option(name)
    rows = page.locator("#all-trials tbody tr").all()
    expected = [t for t in written[0].trials if t.parsed.optimizer_name == name]
    assert len(rows) == len(expected)
    assert {row.get_attribute("data-optimizer") for row in rows} == {name}


def test_the_table_sorts_by_a_column(page, written):
    head = page.locator("#all-trials th").nth(1)
    head.get_by_role("button").click()
    assert head.get_attribute("aria-sort") == "ascending"
    first = page.locator("#all-trials tbody tr").first
    assert first.get_attribute("data-trial") == str(
        min((t for t in written[0].trials if t.value is not None), key=lambda t: t.value).number
    )


def test_without_scripts_figures_and_trials_are_there(browser, written, viewport):
    page = browser.new_page(viewport=viewport, java_script_enabled=False)
    page.goto(written[1].as_uri())
    assert page.locator("figure svg").count() == page.locator("figure").count() >= 4
    assert page.locator("#all-trials tbody tr").count() == len(written[0].trials)
    assert not page.locator("#controls").is_visible()
    page.close()


def test_the_page_prints(page):
    assert page.pdf(format="A4").startswith(b"%PDF")


def test_text_stands_out_from_its_background(page):
    for selector in ("body", ".soft", "figcaption", "summary", "th", ".recipe"):
        colours = page.locator(selector).first.evaluate(
            """element => {
                let behind = element;
                const seen = e => getComputedStyle(e).backgroundColor;
                while (seen(behind) === "rgba(0, 0, 0, 0)") behind = behind.parentElement;
                return [getComputedStyle(element).color, seen(behind)];
            }"""
        )
        assert contrast(*colours) >= 4.5, (selector, colours)  # WCAG AA


def contrast(one, other):
    darker, lighter = sorted(luminance(colour) for colour in (one, other))
    return (lighter + 0.05) / (darker + 0.05)


def luminance(colour):
    """Relative luminance of `rgb(r, g, b)` by WCAG."""
    channels = [int(part) / 255 for part in colour.removeprefix("rgb(").rstrip(")").split(",")]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
