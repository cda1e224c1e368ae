"""`lrsearch study compare`: two studies of a database, its output, its files and its refusals."""

import json
import os
import re
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest
from command import run_here
from test_fast_start import READING, RUNNER
from tiny_studies import search_here


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """A folder whose database has two finished studies, which search other learning rates."""
    folder = tmp_path_factory.mktemp("two") / "work"
    folder.mkdir()
    for name, high in (("tiny", 10.0), ("low", 0.01)):
        space = {
            "optimizers": {"sgd": {"lr": {"low": 1e-3, "high": high, "log": True}}},
            "schedules": {"constant": {}},
        }
        url = f"sqlite:///{folder}/lrsearch.db"
        search_here(name=name, storage=url, space=space, budget={"trials": 5}, confirm={"runs": 2})
    return folder


def compare(folder, *words):
    return run_here("study", "compare", *words, folder=folder)


def test_two_studies_are_compared_in_words_and_tables(two):
    ended = compare(two, "tiny", "low")
    assert (ended.code, ended.err) == (0, "")
    lines = ended.out.splitlines()
    assert lines[0].startswith("storage: sqlite:///")
    assert "low" in lines[1]
    assert "tiny" in lines[1]
    heads = ["Recipes", "Cost", "Safe learning rates", "Spaces", "Study files"]
    assert [line for line in lines if line in heads] == heads
    ranges = r"^sgd\.lr +0\.001 to 10 \(log\) +0\.001 to 0\.01 \(log\)$"
    assert re.search(ranges, ended.out, re.MULTILINE)


def test_the_document_holds_the_same(two):
    document = json.loads(compare(two, "tiny", "low", "--json").out)
    assert [study["label"] for study in document["studies"]] == ["tiny", "low"]
    (each,) = document["compared"]
    assert (each["of"], each["against"]) == ("low", "tiny")
    assert each["seeds"] == "fresh"
    tiny, low = document["studies"]
    if each["method"] == "unpaired":
        assert each["value"] == pytest.approx(tiny["value"] - low["value"])
    assert [part["part"] for part in document["space"]] == ["sgd.lr"]
    assert document["settings"] == []
    assert all(study["n"] for study in document["studies"])
    assert document["sentences"][0] in compare(two, "tiny", "low").out


def test_a_page_and_markdown_are_written_where_they_are_asked_for(two):
    page = compare(two, "tiny", "low", "--out", "page.html")
    assert page.out.splitlines()[-1] == f"written: {two / 'page.html'}"
    assert "<figure" in (two / "page.html").read_text()
    both = compare(two, "tiny", "low", "--json", "--out", "table.md")
    assert json.loads(both.out)["compared"]
    assert both.err == f"written: {two / 'table.md'}\n"
    assert (two / "table.md").read_text().startswith("# tiny, low\n")


def test_a_study_of_another_database_is_named_with_its_url(two):
    with (
        closing(sqlite3.connect(two / "lrsearch.db")) as mine,
        closing(sqlite3.connect(two / "other.db")) as other,
    ):
        mine.backup(other)
    ended = compare(two, "tiny", "low@sqlite:///other.db")
    assert ended.code == 0
    assert ended.out.splitlines()[1] == "storage: sqlite:///other.db (--storage)"
    twice = compare(two, "tiny", "tiny@sqlite:///other.db")
    assert twice.err == "Error: study 'tiny' is named twice; name different studies\n"


@pytest.mark.parametrize(
    ("words", "code", "line"),
    [
        (["tiny"], 2, "Error: Missing argument 'OTHERS'."),
        (["tiny", "tiny"], 1, "Error: study 'tiny' is named twice; name different studies"),
        (
            ["tiny", "loww"],
            1,
            "Error: no study 'loww' in sqlite:///lrsearch.db (default); did you mean 'low'?",
        ),
        (
            ["tiny", "low", "--out", "page.pdf"],
            1,
            "Error: --out page.pdf: a file that ends in .html or .md is accepted",
        ),
        (
            ["tiny", "low", "--out", "none/page.md"],
            1,
            "Error: --out none/page.md: cannot write the comparison: No such file or directory",
        ),
        (
            ["tiny", "low@sqlite:///none.db"],
            1,
            "Error: storage sqlite:///none.db (--storage) holds no studies; `lrsearch run FILE` "
            "creates one",
        ),
    ],
)
def test_what_cannot_be_compared_is_one_line(two, words, code, line):
    ended = compare(two, *words)
    assert (ended.code, ended.err.splitlines()[-1]) == (code, line)
    assert "Recipes" not in ended.out


def test_nothing_heavy_is_loaded(two, tmp_path):
    file = tmp_path / "modules.json"
    ended = subprocess.run(
        [sys.executable, "-c", RUNNER, file, "study", "compare", "tiny", "low"],
        cwd=two,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr
    assert not set(json.loads(file.read_text())) & {*READING, "altair", "vl_convert"}
