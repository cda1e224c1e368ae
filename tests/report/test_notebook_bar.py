"""In the kernel of a notebook, progress is one line of the cell that changes."""

import sys
import types
from html.parser import HTMLParser

import pytest
from tiny_studies import TRIALS, make_study, work

from lrsearch.report.live import notebook_bar, shown
from lrsearch.report.live.progress import Confirmed, StudyProgress


class Handle:
    def __init__(self, shown):
        self.shown = shown

    def update(self, bundle, *, raw):
        assert raw
        self.shown.append(bundle)


@pytest.fixture
def kernel(monkeypatch):
    """What the cells of a notebook display, as IPython's interface in a kernel has it."""
    said = []

    def display(bundle, *, raw, display_id):
        assert (raw, display_id) == (True, True)
        said.append(bundle)
        return Handle(said)

    fake, module = types.ModuleType("IPython"), types.ModuleType("IPython.display")
    fake.get_ipython = lambda: types.SimpleNamespace(kernel=object())
    fake.display = module
    module.display = display
    monkeypatch.setitem(sys.modules, "IPython", fake)
    monkeypatch.setitem(sys.modules, "IPython.display", module)
    return said


@pytest.mark.parametrize("shell", [None, types.SimpleNamespace(kernel=None), object()])
def test_ipython_on_a_terminal_is_no_notebook(shell, monkeypatch):
    fake = types.ModuleType("IPython")
    fake.get_ipython = lambda: shell
    monkeypatch.setitem(sys.modules, "IPython", fake)
    assert not notebook_bar.in_notebook()


def test_without_ipython_there_is_no_notebook(monkeypatch):
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    assert not notebook_bar.in_notebook()


def test_a_study_is_shown_from_its_beginning_to_its_end(kernel, sqlite_url, monkeypatch):
    from tiny_studies import opened

    monkeypatch.setattr(shown, "LOOK_SECONDS", 0.01)
    with opened(sqlite_url) as database:
        study = make_study(database)
        with shown.shown(study):
            work(study)
    assert kernel[0]["text/plain"] == "search"
    assert len(kernel) > 3
    assert kernel[-1]["text/plain"].startswith(f"search {TRIALS}/{TRIALS} · confirmation ")
    assert " left" not in kernel[-1]["text/plain"]
    assert 'value="1.0000"' in kernel[-1]["text/html"]


def test_an_error_in_the_cell_ends_the_line_too(kernel, sqlite_url):
    from tiny_studies import opened

    with opened(sqlite_url) as database:
        study = make_study(database)

        def fails():
            with shown.shown(study):
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            fails()
    assert kernel[-1]["text/plain"].startswith(f"search 0/{TRIALS}")


def text(used, *, is_last=False, **changes):
    fields = {"unit": "epochs", "total": 60.0, "note": "", "confirmed": None, "left_seconds": None}
    found = StudyProgress(used=used, **{**fields, **changes})
    return notebook_bar._Line().text(found, is_last=is_last)


def test_the_line_says_what_is_left_until_it_is_the_last():
    assert text(30.0) == "search (epochs) 30/60 \u00b7 0:00:00"
    said = "search (epochs) 40/60 \u00b7 best val_loss 0.5 \u00b7 0:00:00, about 40 s left"
    assert text(40.0, note="best val_loss 0.5", left_seconds=40.0) == said
    runs = Confirmed(done=2, planned=6, round="choose")
    said = "search (epochs) 50/60 \u00b7 confirmation 2/6 runs (choose) \u00b7 0:00:00"
    assert text(50.0, confirmed=runs, left_seconds=9.0, is_last=True) == said


class Tags(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.texts = [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.texts.append(data.strip())


def test_the_line_in_html_is_a_bar_and_the_same_text():
    line = "best <b>&</b> 1"
    bundle = notebook_bar._Line().bundle(line, 0.25)
    page = Tags(bundle["text/html"])
    (_, (tag, attributes)) = page.tags
    assert (tag, float(attributes["value"])) == ("progress", 0.25)
    assert "".join(page.texts) == bundle["text/plain"] == line
