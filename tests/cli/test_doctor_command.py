"""`lrsearch doctor`: lines, one JSON document, and the exit code."""

import json

from command import files_below, run_command


def test_a_machine_without_problems_ends_with_0_and_nothing_is_written(tmp_path):
    ended = run_command("doctor", folder=tmp_path, SHELL="/bin/bash", HOME=str(tmp_path))
    assert ended.code == 0, ended.out
    assert ended.out.startswith("versions\n  ok       Python 3.")
    assert "\n  note     bash does not complete" in ended.out
    assert ended.out.splitlines()[-1].startswith("no problems, ")
    assert files_below(tmp_path) == {}


def test_a_problem_ends_with_1_and_the_json_names_it(tmp_path):
    (tmp_path / "broken.db").write_text("no database" * 1000)
    ended = run_command("doctor", "--json", "--storage", "sqlite:///broken.db", folder=tmp_path)
    assert ended.code == 1
    document = json.loads(ended.out)
    assert document["ok"] is False
    (problem,) = [found for found in document["findings"] if found["state"] == "problem"]
    assert problem["area"] == "storage"
    assert problem["advice"]
