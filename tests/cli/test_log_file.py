"""`--log-file` collects the records of worker processes, with or without `-v`."""

import re

from command import run_command

#: Time, process, level, message.
RECORD = re.compile(r"\d{4}-\d\d-\d\d [\d:,]+ (?P<process>\d+) (?P<level>[A-Z]+) (?P<message>.+)")


def run_tiny(folder, *options):
    ended = run_command("run", "tiny.yaml", *options, "--log-file", "log.txt", folder=folder)
    assert ended.code == 0, ended.err
    records = [RECORD.fullmatch(line) for line in (folder / "log.txt").read_text().splitlines()]
    assert all(records)
    return ended, records


def trials_in(records):
    found = (re.match(r"trial (\d+) (complete|pruned|diverged)", r["message"]) for r in records)
    return sorted(int(match[1]) for match in found if match)


def test_the_file_has_every_trial_of_every_worker(folder):
    ended, records = run_tiny(folder, "-v", "--workers", "2")
    assert trials_in(records) == list(range(12))
    assert {record["level"] for record in records} == {"INFO"}
    assert len({record["process"] for record in records}) == 2
    assert "trial 11 " in ended.err


def test_the_file_is_written_without_v_too_and_the_next_command_appends_to_it(folder):
    ended, records = run_tiny(folder, "--workers", "1", "--trials", "2")
    assert trials_in(records) == [0, 1]
    assert "trial 1 " not in ended.err  # the terminal stays quiet
    _, records = run_tiny(folder, "--workers", "1", "--trials", "3")
    assert trials_in(records) == [0, 1, 2]


def test_a_file_that_cannot_be_written_is_refused(folder):
    ended = run_command("study", "list", "--log-file", "absent/log.txt", folder=folder)
    assert ended.code == 1
    message = "--log-file absent/log.txt: No such file or directory; name a file to write"
    assert ended.err == f"Error: {message}\n"
