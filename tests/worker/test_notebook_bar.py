"""In the kernel of a notebook, progress is one line of the cell that changes."""

import sys
import types
from html.parser import HTMLParser

import pytest
from tiny_studies import TRIALS, make_study, work

from lrsearch.worker import notebook_bar, progress_bar
from lrsearch.worker.study_progress import Confirmed, StudyProgress


class Handle:
    def __init__(self, shown):
        self.shown = shown

    def update(self, bundle, *, raw):
        assert raw
        self.shown.append(bundle)


@pytest.fixture
def kernel(monkeypatch):
    """What the cells of a notebook display, as IPython's interface in a kernel has it."""
    shown = []

    def display(bundle, *, raw, display_id):
        assert (raw, display_id) == (True, True)
        shown.append(bundle)
        return Handle(shown)

    fake, module = types.ModuleType("IPython"), types.ModuleType("IPython.display")
    fake.get_ipython = lambda: types.SimpleNamespace(kernel=object())
    fake.display = module
    module.display = display
    monkeypatch.setitem(sys.modules, "IPython", fake)
    monkeypatch.setitem(sys.modules, "IPython.display", module)
    return shown


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

    monkeypatch.setattr(progress_bar, "LOOK_SECONDS", 0.01)
    with opened(sqlite_url) as database:
        study = make_study(database)
        with progress_bar.progress_bar(study):
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
            with progress_bar.progress_bar(study):
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            fails()
    assert kernel[-1]["text/plain"].startswith(f"search 0/{TRIALS}")


def seen(used, **changes):
    fields = {"unit": "epochs", "total": 60.0, "note": "", "confirmed": None}
    return StudyProgress(used=used, **{**fields, **changes})


@pytest.fixture
def clock(monkeypatch):
    """Seconds that have passed, which a test sets."""
    now = [100.0]
    monkeypatch.setattr(notebook_bar.time, "monotonic", lambda: now[0])
    return now


def test_what_is_left_follows_from_what_this_call_has_done(kernel, clock):
    draw = notebook_bar.notebook_bar()
    draw(seen(30.0), False)  # an earlier call has done half
    assert kernel[-1]["text/plain"] == "search (epochs) 30/60 · 0:00:00"
    clock[0] += 20
    draw(seen(40.0, note="best val_loss 0.5"), False)
    said = "search (epochs) 40/60 · best val_loss 0.5 · 0:00:20, about 0:00:40 left"
    assert kernel[-1]["text/plain"] == said
    runs = Confirmed(done=2, planned=6, round="choose")
    draw(seen(50.0, confirmed=runs), True)
    said = "search (epochs) 50/60 · confirmation 2/6 runs (choose) · 0:00:20"
    assert kernel[-1]["text/plain"] == said


class Tags(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.texts = [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.texts.append(data.strip())


def test_the_line_in_html_is_a_bar_and_the_same_text(kernel, clock):
    draw = notebook_bar.notebook_bar()
    draw(seen(15.0, note="best <b>&</b> 1"), False)
    page = Tags(kernel[-1]["text/html"])
    (_, (tag, attributes)) = page.tags
    assert (tag, float(attributes["value"])) == ("progress", 0.25)
    assert "".join(page.texts) == kernel[-1]["text/plain"]
