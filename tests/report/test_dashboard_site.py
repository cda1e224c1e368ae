"""The dashboard's pages: made when something has changed, and not more often than is cheap."""

import http.client
import threading
from contextlib import contextmanager

import pytest
from tiny_studies import ask, ended, make_study

from lrsearch.errors import LrsearchError, StorageError
from lrsearch.report.dashboard import site as site_module
from lrsearch.report.dashboard.server import Server
from lrsearch.report.dashboard.site import LEAST_SECONDS, Site
from lrsearch.trial.states import TrialState


class Clock:
    """Seconds that have passed, which a test sets."""

    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def made(monkeypatch):
    """How often each report was made; it is the number of that and not a real page."""
    found = []

    def text(report):
        found.append(report.name)
        return f"report {len(found)} of {report.name}"

    monkeypatch.setattr(site_module, "page_text", text)
    return found


def test_a_report_is_made_again_when_its_study_has_gone_on(database, made):
    study, clock = make_study(database), Clock()
    site = Site(database, clock=clock)
    first = site.report("tiny")
    clock.now += 1000
    assert site.report("tiny") == first  # nothing has happened
    ask(study)
    later = site.report("tiny")
    assert (later.text, made) == ("report 2 of tiny", ["tiny", "tiny"])
    assert later.etag != first.etag


def test_a_study_that_goes_on_quickly_keeps_its_page_for_a_while(database, made):
    study, clock = make_study(database), Clock()
    site = Site(database, clock=clock)
    site.report("tiny")
    ask(study)
    clock.now += LEAST_SECONDS / 2
    assert site.report("tiny").text == "report 1 of tiny"
    clock.now += LEAST_SECONDS
    assert site.report("tiny").text == "report 2 of tiny"


def test_the_page_of_a_study_that_has_come_to_rest_is_the_last_at_once(database, made):
    study = make_study(database)
    trial = ask(study)
    site = Site(database, clock=Clock())
    site.report("tiny")
    study.tell(trial, ended(TrialState.FAILED, reason="x"))
    assert site.report("tiny").text == "report 2 of tiny"


def test_who_asks_while_a_report_is_made_gets_the_one_before(database, made, monkeypatch):
    study, clock = make_study(database), Clock()
    site = Site(database, clock=clock)
    site.report("tiny")
    ask(study)
    clock.now += 1000
    begun, go_on = threading.Event(), threading.Event()

    def slow(report):
        begun.set()
        assert go_on.wait(60)
        return "slow"

    monkeypatch.setattr(site_module, "page_text", slow)
    pages = []
    maker = threading.Thread(target=lambda: pages.append(site.report("tiny").text))
    maker.start()
    assert begun.wait(60)
    assert site.report("tiny").text == "report 1 of tiny"
    go_on.set()
    maker.join(60)
    assert pages == ["slow"]


@pytest.mark.both_databases
def test_the_index_names_every_study_and_how_it_stands(database, made):
    study = make_study(database)
    make_study(database, name="other")
    trial = ask(study)
    site = Site(database)
    page = site.index()
    assert '<a href="/study/tiny">tiny</a>' in page.text
    assert '<a href="/study/other">other</a>' in page.text
    assert ">search</td><td>0 of 12</td>" in page.text
    assert site.index() == page
    study.tell(trial, ended(TrialState.FAILED, reason="x"))
    assert ">open</td><td>1 of 12</td>" in site.index().text
    assert site.frame("tiny") is not None
    assert site.frame("absent") is site.report("absent") is None


@contextmanager
def served(site):
    with Server(site, 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def asked(server, path="/", method="GET", **headers):
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=60)
    try:
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        return answer, answer.read().decode()
    finally:
        connection.close()


@pytest.fixture
def server(sqlite_url, made):
    from tiny_studies import opened

    with opened(sqlite_url) as database:
        make_study(database)
        with served(Site(database)) as server:
            yield server


def test_a_page_that_has_not_changed_is_not_sent_again(server):
    answer, text = asked(server, "/study/tiny/report.html")
    assert (answer.status, text) == (200, "report 1 of tiny")
    etag = answer.headers["ETag"]
    answer, text = asked(server, "/study/tiny/report.html", **{"If-None-Match": etag})
    assert (answer.status, text, answer.headers["ETag"]) == (304, "", etag)
    answer, text = asked(server, "/study/tiny/report.html", method="HEAD")
    assert (answer.status, text, answer.headers["ETag"]) == (200, "", etag)


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1", "localhost:1", ""])
def test_a_request_to_another_host_is_refused(host, server):
    answer, text = asked(server, Host=host)
    assert answer.status == 421
    assert "tiny" not in text


def test_the_names_of_this_machine_are_answered(server):
    for name in ("localhost", "127.0.0.1"):
        answer, text = asked(server, Host=f"{name}:{server.server_port}")
        assert answer.status == 200
        assert "tiny" in text


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_nothing_is_taken(method, server):
    assert asked(server, method=method)[0].status == 501


@pytest.mark.parametrize(
    "path", ["/study/absent", "/study/absent/report.html", "/nothing", "/look.css/../server.py"]
)
def test_what_is_not_there_is_said_to_be_so(path, server):
    answer, text = asked(server, path)
    assert answer.status == 404
    assert "There is no " in text


def test_a_page_says_what_may_be_loaded(server):
    for path in ("/", "/study/tiny", "/study/tiny/report.html"):
        policy = asked(server, path)[0].headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; ")
        assert "http" not in policy


@pytest.mark.parametrize(("error", "status"), [(StorageError, 503), (LrsearchError, 500)])
def test_trouble_is_one_line_on_a_page(error, status, server, monkeypatch):
    def fails(*arguments, **options):
        raise error("<why>")

    monkeypatch.setattr(site_module, "load_report", fails)
    answer, text = asked(server, "/study/tiny/report.html")
    assert answer.status == status
    assert "&lt;why&gt;" in text
