"""A report's page, written once and opened in a real browser in each width and scheme."""

from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright
from tiny_studies import LEASE, ask, curve_row, ended, make_study

from lrsearch.confirmation.runs import REPORT, WINNER, PlannedRun
from lrsearch.report.load import load_report
from lrsearch.report.page.page import write_report
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
#: Of the complete trials. The last looks like the second, and is better.
VALUES = (0.2, 0.3, 0.4, 0.299999)


#: A page is opened so in every run, and in the other two ways with `-m slow`.
PAIRS = [(DESKTOP, "light"), (PHONE, "dark")]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Each width and each scheme is in a pair; the other pairs are slow."""
    for item in items:
        params = item.callspec.params if hasattr(item, "callspec") else {}
        both = "viewport" in params and "scheme" in params
        if both and (params["viewport"], params["scheme"]) not in PAIRS:
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def written(tmp_path_factory):
    """A confirmed report with trials of every state and long words, and its page."""
    folder = tmp_path_factory.mktemp("report")
    database = open_database(f"sqlite:///{folder}/study.db", create=True)
    search = make_study(database, notes="n" * 120)
    finish(search, TrialState.DIVERGED, [30.0], reason="training loss 34 is above 23 at step 3")
    finish(search, TrialState.FAILED, [], reason="RuntimeError: " + "x" * 300)
    finish(search, TrialState.PRUNED, [1.0, 0.9])
    trials = [finish(search, TrialState.COMPLETE, [1.0, value]) for value in VALUES]
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


@pytest.fixture(scope="session")
def browser():
    if not CHROMIUM.exists():
        pytest.skip("chromium is not installed")
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
    """The open page in each width and scheme."""
    yield from opened(browser, written[1], viewport, scheme)


@pytest.fixture
def one_page(browser, written):
    """The open page as most see it, for what no width and no scheme changes."""
    yield from opened(browser, written[1], DESKTOP, "light")


def opened(browser, path, viewport, scheme):
    """The open page, with the console's messages and the requests it has made."""
    page = browser.new_page(viewport=viewport, color_scheme=scheme)
    page.messages, page.requests = [], []
    page.on("console", lambda message: page.messages.append(message.text))
    page.on("pageerror", lambda error: page.messages.append(str(error)))
    page.on("request", lambda request: page.requests.append(request.url))
    page.goto(path.as_uri())
    page.wait_for_load_state("networkidle")
    yield page
    page.close()
