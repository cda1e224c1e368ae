"""The field `report` of a study file."""

import pytest

from lrsearch.command.metrics import Patterns, Records, check_told, read_report, reader_for
from lrsearch.command.patterns import PatternReader
from lrsearch.command.records import CsvReader, JsonLinesReader
from lrsearch.command.tensorboard import TensorboardReader
from lrsearch.errors import SpecError


@pytest.mark.parametrize(
    ("content", "kind", "reader"),
    [
        ({"val_loss": r"loss (\S+)", "epoch": r"epoch (\d+)"}, Patterns, PatternReader),
        ({"json_lines": "stdout"}, Records, JsonLinesReader),
        ({"json_lines": "{dir}/m.jsonl", "val_loss": "eval.loss"}, Records, JsonLinesReader),
        ({"csv": "{dir}/m.csv"}, Records, CsvReader),
        ({"tensorboard": "{dir}/runs", "val_loss": "Loss/valid"}, Records, TensorboardReader),
    ],
)
def test_each_form_has_its_reader(tmp_path, content, kind, reader):
    report = read_report(content, "val_loss")
    assert isinstance(report, kind)
    made = reader_for(report, tmp_path / "output", tmp_path, metric="val_loss")
    assert type(made) is reader
    assert made.poll(ended=True) == []
    assert made.explain()


def test_the_folder_of_the_trial_stands_for_dir(tmp_path):
    report = read_report({"csv": "{dir}/m.csv"}, "v")
    (tmp_path / "m.csv").write_text("v\n3\n")
    (reading,) = reader_for(report, tmp_path / "output", tmp_path, metric="v").poll()
    assert reading.metrics == {"v": 3.0}


def test_the_command_has_to_know_the_folder():
    report = read_report({"csv": "{dir}/m.csv"}, "v")
    check_told(report, ["a", "--out={dir}"])
    check_told(read_report({"json_lines": "stdout"}, "v"), ["a"])
    with pytest.raises(SpecError, match=r"^report\.csv = .* but the command has no \{dir\}; add"):
        check_told(report, ["a"])


def test_each_file_that_fits_is_read(tmp_path):
    folder = tmp_path / "trial [1]"
    report = read_report({"csv": "{dir}/version_*/m.csv"}, "v")
    reader = reader_for(report, tmp_path / "output", folder, metric="v")
    assert reader.poll() == []
    assert reader.explain().startswith("no file fits ")
    found = []
    for version in range(3):
        (folder / f"version_{version}").mkdir(parents=True)
        (folder / f"version_{version}" / "m.csv").write_text(f"v\n{version}\n")
        if version == 0:
            reader.skip()
        found += reader.poll()
    assert [reading.metrics["v"] for reading in found] == [1, 2]


def test_stdout_is_the_output_of_the_trial(tmp_path):
    (tmp_path / "output").write_text('{"v": 3}\n')
    report = read_report({"json_lines": "stdout"}, "v")
    (reading,) = reader_for(report, tmp_path / "output", tmp_path, metric="v").poll()
    assert reading.metrics == {"v": 3.0}


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "report = None, but a mapping is needed"),
        ({}, "a mapping is needed"),
        (r"loss (\S+)", "a mapping is needed"),
        ({"acc": r"acc (\S+)"}, "no pattern for the objective 'val_loss'; add val_loss: "),
        ({"acc": r"acc (\S+)"}, "or write objective: acc"),
        ({"val_loss": "loss"}, "report.val_loss = 'loss' has no groups"),
        ({"csv": "a", "json_lines": "b"}, "report names json_lines and csv; one of them"),
        ({"csv": ""}, "report.csv = '', but a file is needed"),
        ({"csv": "stdout"}, "report.csv = 'stdout', but a file is needed"),
        ({"csv": "logs/m.csv"}, "each trial needs its own; write {dir}/logs/m.csv, and let"),
        ({"csv": "{seed}/m.csv"}, "{dir} is its only placeholder"),
        ({"csv": "{dir}/m.csv", "val_loss": 3}, "but the name of a metric there is needed"),
        ({"tensorboard": 7}, "report.tensorboard = 7, but a folder is needed"),
    ],
)
def test_anything_else_is_refused_in_one_line(content, problem):
    with pytest.raises(SpecError) as error:
        read_report(content, "val_loss")
    assert problem in str(error.value)
    assert "\n" not in str(error.value)
