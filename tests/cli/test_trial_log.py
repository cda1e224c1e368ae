"""`trial log` prints the kept output of a script's trial, or says where it is."""

import sqlite3

from command import run_command

TEXT = "epoch 1 of 2 \N{EM DASH} valid loss 0.5\r\n\x1b[1mbold\x1b[0m"


def write(folder, name, text):
    path = folder / "lrsearch-trials" / "tiny" / name / "output.log"
    path.parent.mkdir(parents=True)
    path.write_bytes(text)


def test_the_output_is_printed_to_the_byte(finished):
    write(finished, "trial-3", TEXT.encode())
    ended = run_command("trial", "log", "tiny", "3", folder=finished)
    assert ended.code == 0, ended.err
    out = finished.parent / f"{finished.name}.out"
    assert out.read_bytes() == TEXT.encode()


def test_a_task_prints_where_its_worker_does(finished):
    ended = run_command("trial", "log", "tiny", "3", folder=finished)
    assert (ended.code, ended.out) == (1, "")
    assert ended.err == (
        "Error: study 'tiny' has a task, which prints where its worker does; the output of scripts "
        "alone is kept\n"
    )


def test_an_unknown_trial_is_refused_in_one_line(finished):
    ended = run_command("trial", "log", "tiny", "99", folder=finished)
    assert (ended.code, ended.out) == (1, "")
    assert ended.err == (
        "Error: study 'tiny' has no trial 99; `lrsearch study trials tiny` lists them\n"
    )


def test_a_confirmation_run_is_named_by_its_seed(finished):
    with sqlite3.connect(finished / "lrsearch.db") as database:
        (number, seed), *_ = database.execute("select number, seed from lr_confirm order by id")
    write(finished, f"confirm-{number}-seed-{seed}", b"confirmed\n")
    words = ("trial", "log", "tiny", number, "--seed")
    ended = run_command(*words, seed, folder=finished)
    assert (ended.code, ended.out) == (0, "confirmed\n")
    ended = run_command(*words, 1, folder=finished)
    assert ended.code == 1
    assert f"trial {number} has no confirmation run with seed 1: " in ended.err
    assert str(seed) in ended.err


def test_deleting_a_study_removes_its_trials_folder(finished):
    write(finished, "trial-3", b"text")
    assert run_command("study", "delete", "tiny", "--yes", folder=finished).code == 0
    assert not (finished / "lrsearch-trials").exists()
