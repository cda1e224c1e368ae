"""`--csv`: what a spreadsheet opens; no cell of it is a formula, and no number is changed."""

import csv
import io
import json
import sqlite3

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from lrsearch.cli import cli
from lrsearch.cli.output import FORMULA, csv_text
from lrsearch.shown_text import visible

#: Opens a program where a spreadsheet computes it, or sends the sheet to a server.
FORMULAS = ("=cmd|' /C calc'!A0", "+1+cmd", "-2+3+cmd", "@SUM(1)", "\t=1", "\n=1")


def read(text):
    return list(csv.reader(io.StringIO(text, newline="")))


@pytest.mark.parametrize("text", FORMULAS)
def test_a_formula_is_text_in_the_header_and_in_cells(text):
    assert read(csv_text([text], [{text: text}])) == [[f"'{text}"], [f"'{text}"]]


def test_a_carriage_return_is_written_out():
    assert read(csv_text(["a\rb"], [{"a\rb": "\r=1"}])) == [[r"a\x0db"], [r"\x0d=1"]]


@pytest.mark.parametrize("value", [-1, -0.5, -1e-9, "-0.5", "+3", "-1e-3", 0, True, None, "a=b"])
def test_numbers_and_plain_words_are_as_they_are(value):
    assert read(csv_text(["x", "y"], [{"x": value}]))[1][0] == ("" if value is None else str(value))


@given(st.lists(st.tuples(st.text(), st.floats(allow_nan=False)), min_size=1))
def test_any_table_reads_back_with_its_numbers_and_without_formulas(cells):
    table = csv_text(["text", "number"], [{"text": t, "number": n} for t, n in cells])
    for (text, number), row in zip(cells, read(table)[1:], strict=True):
        assert float(row[1]) == number
        assert row[0].removeprefix("'") == visible(text).removeprefix("'")
        if row[0].startswith(FORMULA):
            float(row[0])


def test_a_metrics_name_is_no_formula(finished, monkeypatch):
    with sqlite3.connect(finished / "lrsearch.db") as database:
        database.execute("update lr_curve set metrics = ?", (json.dumps({FORMULAS[0]: 1.0}),))
        database.execute("update lr_trial set reason = ?", (FORMULAS[3],))
    monkeypatch.chdir(finished)
    curves = CliRunner().invoke(cli, ("study", "curves", "tiny"))
    assert f"'{FORMULAS[0]}" in read(curves.stdout.partition("\n")[2])[0]
    trials = CliRunner().invoke(cli, ("study", "trials", "tiny", "--csv"))
    reason = read(trials.stdout)[0].index("reason")
    assert {row[reason] for row in read(trials.stdout)[1:]} == {f"'{FORMULAS[3]}"}
