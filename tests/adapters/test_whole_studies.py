"""The studies of the pages on adapters, trained by real workers."""

import re
import sqlite3
from pathlib import Path

import pytest
import yaml
from command import run_command

PAGES = Path(__file__).parents[2] / "docs" / "howto"
FILE = re.compile(r"<!-- file: (\S+) -->\n```\w+\n(.*?)```", re.S)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("page", ["lightning", "transformers", "accelerate", "ddp"])
def test_the_study_of_a_page_is_searched_and_pruned(page, tmp_path):
    files = dict(FILE.findall((PAGES / f"{page}.md").read_text(encoding="utf-8")))
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    [study] = [name for name in files if name.endswith(".yaml")]
    changes = {"budget": {"runs": 5}, "confirm": "none"}
    (tmp_path / study).write_text(yaml.safe_dump({**yaml.safe_load(files[study]), **changes}))
    ran = run_command("run", study, "--workers", "1", folder=tmp_path, seconds=280)
    assert ran.code == 0, ran.err
    assert "Best recipe so far" in ran.out
    with sqlite3.connect(tmp_path / "lrsearch.db") as database:
        states = [row[0] for row in database.execute("SELECT state FROM trials")]
    assert states.count("COMPLETE") + states.count("PRUNED") == len(states)
    assert "PRUNED" in states
