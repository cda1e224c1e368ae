"""Rows that another wrote, who drives no terminal by them: every command prints them visibly."""

import io
import json
import logging
import re
import sqlite3
import unicodedata
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from rich.text import Text

from lrsearch.cli import cli, logs
from lrsearch.cli.output import json_text
from lrsearch.report.live.terminal import VisibleConsole
from lrsearch.shown_text import visible, visible_output

PACKAGE = Path(__file__).parents[2] / "lrsearch"
#: Clears the screen, sets the title, asks for an answer (C1's CSI), deletes, turns the direction.
HOSTILE = "a\x1b[2J\x1b]0;owned\x07\x9b6n\x7f\x08\u202eb\u2066\rc"
#: The same with a line that looks like one of ours.
TWO_LINES = f"{HOSTILE}\nError: all is lost"
COMMANDS = (
    ("study", "list"),
    ("study", "show", "tiny", "-v"),
    ("study", "trials", "tiny"),
    ("study", "trials", "tiny", "--csv"),
    ("study", "curves", "tiny"),
    ("trial", "show", "tiny", "3"),
    ("status", "tiny", "--all"),
    ("watch", "tiny", "--plain"),
    ("study", "show", "tiny", "--json"),
    ("study", "trials", "tiny", "--json"),
    ("study", "curves", "tiny", "--json"),
    ("status", "tiny", "--all", "--json"),
    ("watch", "tiny", "--json"),
)


def drives(text):
    """The characters in a text that a terminal obeys, but for newlines and tabs."""
    bidi = {"\u061c", "\u200e", "\u200f"}
    controls = ("Cc", "Zl", "Zp")
    return {
        c
        for c in text
        if c not in "\n\t"
        and (
            unicodedata.category(c) in controls
            or c in bidi
            or unicodedata.bidirectional(c) in ("LRE", "RLE", "LRO", "RLO", "PDF")
            or unicodedata.bidirectional(c) in ("LRI", "RLI", "FSI", "PDI")
        )
    }


@pytest.fixture
def hostile(finished, monkeypatch):
    """The current folder, with a database that somebody wrote into without lrsearch."""
    with sqlite3.connect(finished / "lrsearch.db") as database:
        for table in ("lr_trial", "lr_confirm", "lr_range_test"):
            database.execute(f"update {table} set reason = ?, worker = ?", (TWO_LINES, TWO_LINES))
        metrics = json.dumps({"accuracy": 0.5, HOSTILE: 1.0})
        for table in ("lr_trial", "lr_curve", "lr_confirm"):
            database.execute(f"update {table} set metrics = ?", (metrics,))
        device = database.execute("select id from lr_worker").fetchone()
        assert device is not None
        database.execute("update lr_worker set device = ?, doing = ?", (TWO_LINES, TWO_LINES))
        database.execute("update lr_worker set name = ? || id || ':1:1'", (TWO_LINES,))
        study = database.execute("select study_id from lr_study").fetchone()[0]
        database.execute(
            "insert into lr_event (study_id, at, worker, what) values (?, 0, ?, ?)",
            (study, TWO_LINES, TWO_LINES),
        )
    monkeypatch.chdir(finished)
    monkeypatch.delenv("LRSEARCH_STORAGE", raising=False)
    return finished


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_a_command_prints_no_character_that_a_terminal_obeys(hostile, words):
    ended = CliRunner().invoke(cli, words, color=True)  # else click itself removes some
    assert ended.exit_code == 0, ended.output
    assert drives(ended.stdout) == set()
    assert drives(ended.stderr) == set()
    assert not re.search("^Error: all is lost", ended.output, re.MULTILINE)
    if "--json" in words:
        for document in ended.stdout.splitlines() if "watch" in words else [ended.stdout]:
            json.loads(document)


def test_what_was_there_can_be_seen(hostile):
    ended = CliRunner().invoke(cli, ("study", "curves", "tiny"), color=True)
    assert r"a\x1b[2J\x1b]0;owned\x07\x9b6n\x7f\x08\u202eb\u2066\x0dc" in ended.stdout


def test_json_keeps_the_data(hostile):
    ended = CliRunner().invoke(cli, ("study", "curves", "tiny", "--json"), color=True)
    assert json.loads(ended.stdout)[0][HOSTILE] == 1.0


def test_no_module_prints_by_another_way():
    """Nothing but `cli.output` calls click's printing; what prints by itself makes it visible."""
    click_prints = re.compile(r"\bclick\.(echo|secho|style|echo_via_pager)\(")
    found = [p for p in PACKAGE.rglob("*.py") if click_prints.search(p.read_text("utf-8"))]
    assert [path.name for path in found] == ["output.py"]
    consoles = re.compile(r"(?<![A-Za-z])Console\((?!\))")
    assert [p for p in PACKAGE.rglob("*.py") if consoles.search(p.read_text("utf-8"))] == []


@given(st.text())
def test_a_visible_text_drives_nothing_and_a_plain_one_is_as_it_was(text):
    shown = visible(text)
    assert drives(shown) == set()
    shown.encode()  # no half of a character is left, which a terminal's encoding refuses
    if not drives(text) and shown.isascii():
        assert shown == text
    assert visible(shown) == shown


@given(st.text(alphabet="a\n\t\u00e9\u4e2d\U0001f600\u0301"))
def test_letters_of_any_language_stay(text):
    assert visible(text) == visible_output(text) == text


def test_a_scripts_colours_and_progress_bars_stay():
    bar = "\r\x1b[32m 50 %\x1b[0m\n"
    assert visible_output(bar) == bar
    assert visible_output("\x1b]0;title\x07\x1b[2J") == r"\x1b]0;title\x07\x1b[2J"


@given(st.text())
def test_a_json_document_is_printable_ascii(text):
    document = json_text({text: [text]})
    assert document.isascii()
    assert document.isprintable()
    assert json.loads(document) == {text: [text]}


def test_log_lines_drive_nothing(tmp_path, capsys):
    file = tmp_path / "log"
    logs.configure(0, file)
    try:
        logging.getLogger("lrsearch").warning("trial of %s", HOSTILE)
    finally:
        logs.configure(0, None)
    err, text = capsys.readouterr().err, file.read_text()
    assert drives(err) == drives(text) == set()
    assert r"a\x1b[2J" in err
    assert r"a\x1b[2J" in text


@pytest.mark.parametrize("markup", [HOSTILE, Text(HOSTILE, "bold")])
def test_what_rich_draws_drives_nothing_but_what_rich_adds(markup):
    file = io.StringIO()
    console = VisibleConsole(file=file, force_terminal=True, width=200, color_system="standard")
    console.print(markup, markup=False, highlight=False)
    assert drives(re.sub(r"\x1b\[[0-9;]*m", "", file.getvalue())) == set()
    assert r"\x1b[2J" in file.getvalue()
