"""The view of a running study: it fits every terminal, and says what is seen."""

import io
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console
from tiny_studies import ask, curve_row, ended, make_study, opened, work

from lrsearch.report.live.follow import Seen, Watcher
from lrsearch.report.live.sparkline import ASCII, BLOCKS, sparkline
from lrsearch.report.live.view import HEAD_LINES, StudyView
from lrsearch.storage import curves, workers
from lrsearch.storage.outages import Patience
from lrsearch.study.prepare_database import prepare
from lrsearch.trial.states import TrialState


@pytest.fixture(scope="module")
def looks(tmp_path_factory):
    """Looks at a study: new, with running trials and ended ones, and finished."""
    path = tmp_path_factory.mktemp("watched") / "study.db"
    with opened(f"sqlite:///{path}") as database:
        prepare(database)
        study = make_study(database)
        watcher = Watcher(database, study.name, patience=Patience(seconds=0))
        found = [watcher.look()]
        with database.begin() as connection:
            for name in ("a:1:1", "a-host-with-a-long-name.example.org:2222:1"):
                workers.register(connection, study.study_id, name, device="cuda:0", version="0")
        study.tell(ask(study), ended(TrialState.FAILED, reason="RuntimeError: " + "x" * 300))
        complete = ask(study)
        with database.begin() as connection:
            curves.add(connection, complete.claim, [curve_row(8, val_loss=0.5)])
        study.tell(complete, ended(TrialState.COMPLETE))
        for i in range(3):
            trial = ask(study, worker="a:1:1")
            rows = [curve_row(n, val_loss=1.0 / (n + i)) for n in range(1, 5)]
            with database.begin() as connection:
                curves.add(connection, trial.claim, rows)
        found.append(watcher.look())
        work(make_study(database, name="done"))
        found.append(Watcher(database, "done", patience=Patience(seconds=0)).look())
    return found


def drawn(seen, width, height, **options):
    view = StudyView()
    for one in seen:
        view.see(one)
    console = Console(file=io.StringIO(), width=width, height=height, **options)
    console.print(view)
    return console.file.getvalue().splitlines()


@given(st.integers(20, 200), st.integers(5, 60), st.integers(1, 3))
def test_no_line_is_longer_than_the_terminal_and_none_is_below_it(looks, width, height, count):
    lines = drawn(looks[:count], width, height)
    assert max(map(cell_len, lines)) <= width
    assert len(lines) <= max(height - 1, HEAD_LINES)


def test_at_80_columns_everything_is_seen(looks):
    lines = drawn(looks[:2], 80, 30)
    text = "\n".join(lines)
    assert lines[0].startswith("tiny  search (exploration), 3 running, 1 complete, 1 failed, ")
    assert lines[2].startswith("trials 5 of 12")
    assert lines[3].startswith("best  val_loss 0.5  trial 1  ")
    (worker,) = [line for line in lines if line.startswith("a pid 1 ")]
    assert "trials 2, 3, 4" in worker
    running = [line for line in lines if line.endswith(" s") and "50 %" in line]
    assert len(running) == 3
    assert BLOCKS[-1] in running[0]
    assert BLOCKS[0] in running[0]
    assert "trial 0 failed (RuntimeError: xxx" in text


def test_a_finished_study_shows_what_was_confirmed(looks):
    text = "\n".join(drawn(looks[2:], 100, 40))
    assert "done  finished, " in text
    assert "confirmed with fresh seeds to " in text
    assert "study done is finished; its answer: lrsearch study show done" in text


def test_before_the_first_look_the_database_is_waited_for():
    assert drawn([], 80, 24) == ["waiting for the database"]


def test_a_terminal_without_colours_gets_none(looks, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    plain = "\n".join(drawn(looks[:2], 80, 30, force_terminal=True, color_system="truecolor"))
    assert "\x1b[3" not in plain
    assert "\x1b[9" not in plain


def test_words_from_outside_do_not_steer_the_terminal(looks):
    now = looks[1].now
    (worker, *_) = now.workers
    evil = replace(worker, name="a\x1b[2J\r\n:1:1", device="\x1b]0;x\x07", since=1.0)
    lines = drawn([Seen(events=[], now=replace(now, workers=(evil,)))], 80, 24)
    assert not {"\x1b", "\r", "\x07"} & set("".join(lines))


def test_a_metrics_name_is_no_markup_of_richs(looks):
    spec = looks[2].now.spec
    named = {"metric": "[link=https://evil.example]loss[/link]"}
    objective = spec.objective.model_copy(update=named)
    now = replace(looks[2].now, spec=spec.model_copy(update={"objective": objective}))
    lines = "\n".join(drawn([Seen(events=[], now=now)], 120, 30, force_terminal=True))
    assert "[link=https://evil.example]loss" in lines
    assert "\x1b]8;" not in lines


def test_a_curve_is_drawn_from_its_lowest_to_its_highest_mark():
    assert sparkline([8, 7, 6, 5, 4, 3, 2, 1], 8) == BLOCKS[::-1]
    assert sparkline([1.0, None, 2.0], 9) == f"{BLOCKS[0]} {BLOCKS[-1]}"
    assert sparkline([], 5) == ""
    assert sparkline([3.0, 3.0], 5) == BLOCKS[0] * 2
    assert sparkline([float("inf"), None], 5) == "  "
    assert set(sparkline([5, 1, 3], 3, ascii_only=True)) <= set(ASCII)


@given(st.lists(st.none() | st.floats()), st.integers(1, 20))
def test_a_curve_of_any_values_has_no_more_cells_than_asked_for(values, cells):
    assert len(sparkline(values, cells)) == min(cells, len(values))
    assert set(sparkline(values, cells)) <= {*BLOCKS, " "}
