"""Metrics from JSON lines, growing CSV files and event files."""

import csv
import io
import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lrsearch.command.reading import Reading
from lrsearch.command.records import CsvReader, JsonLinesReader
from lrsearch.errors import TaskError


def append(path, text):
    with path.open("a", newline="") as file:
        file.write(text)


def test_json_objects_with_the_metric_are_reports(tmp_path):
    output = tmp_path / "output.log"
    lines = [
        "Loading ...",
        json.dumps({"loss": 1.5, "step": 10}),
        json.dumps({"epoch": 1, "global_step": 20, "eval": {"loss": 0.5, "best": True}, "t": "x"}),
        "{'eval.loss': '0.25', 'epoch': 2.0}",  # a dict of Python
        "{not json}",
        '{"eval": {"loss": null}}',
        '{"eval": {"loss": NaN}}',
    ]
    output.write_text("\n".join(lines) + "\n")
    reader = JsonLinesReader(output, "val_loss", {"val_loss": "eval.loss"})
    readings = reader.poll()
    assert readings[:2] == [
        Reading(metrics={"val_loss": 0.5}, epoch=1, step=20),
        Reading(metrics={"val_loss": 0.25}, epoch=2.0),
    ]
    assert [str(reading.metrics["val_loss"]) for reading in readings[2:]] == ["nan"]
    assert reader.poll(ended=True) == []


def test_a_half_written_line_waits_for_its_rest(tmp_path):
    path = tmp_path / "metrics.jsonl"
    reader = JsonLinesReader(path, "v", {})
    assert reader.poll() == []
    append(path, '{"v": 1')
    assert reader.poll() == []
    append(path, '2}\n{"v": 3}')
    assert [r.metrics for r in reader.poll()] == [{"v": 12.0}]
    assert [r.metrics for r in reader.poll(ended=True)] == [{"v": 3.0}]


def test_a_metric_that_is_text_is_an_error_that_names_the_file(tmp_path):
    path = tmp_path / "m.csv"
    path.write_text("epoch,acc\n1,high\n")
    with pytest.raises(TaskError, match=r"m\.csv: acc = 'high', but a number is needed$"):
        CsvReader(path, "acc", {}).poll()


def test_blank_cells_and_rows_without_the_metric_are_no_reports(tmp_path):
    path = tmp_path / "metrics.csv"
    path.write_text("epoch,step,train_loss,val_loss\n0,9,,0.5\n0,9,0.7,\n1,19,,0.4\n")
    assert CsvReader(path, "val_loss", {}).poll() == [
        Reading(metrics={"val_loss": 0.5}, epoch=0, step=9),
        Reading(metrics={"val_loss": 0.4}, epoch=1, step=19),
    ]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_cells_may_stand_apart_by_other_signs_and_be_quoted(tmp_path, delimiter):
    path = tmp_path / "m.csv"
    with path.open("w", newline="", encoding="utf-8-sig") as file:
        writer = csv.writer(file, delimiter=delimiter)
        writer.writerows([["note", "val loss"], ['a "b"\nc', 1.5], ["x,y;z\tw", 2.5]])
    reader = CsvReader(path, "v", {"v": "val loss"})
    assert [r.metrics["v"] for r in reader.poll()] == [1.5, 2.5]


def test_where_nothing_was_read_the_columns_are_named(tmp_path):
    path = tmp_path / "m.csv"
    reader = CsvReader(path, "acc", {})
    assert reader.poll() == []
    assert reader.explain() == f"{path} does not exist, so 'acc' was not found"
    path.write_text("epoch,accuracy,note\n1,0.5,x\n")
    assert reader.poll() == []
    assert reader.explain() == f"{path} has no 'acc'; its numbers: epoch, accuracy"


def test_a_file_that_is_rewritten_with_the_same_rows_gives_only_new_ones(tmp_path):
    path = tmp_path / "m.csv"
    reader = CsvReader(path, "v", {})
    path.write_text("v,epoch\n1,0\n2,1\n")
    assert [r.metrics["v"] for r in reader.poll()] == [1, 2]
    path.write_text("")  # in the midst of being written anew
    assert reader.poll() == []
    path.write_text("acc,v,epoch\n,1,0\n,2,1\n")
    assert reader.poll() == []
    append(path, "0.5,3,2\n")
    assert reader.poll() == [Reading(metrics={"v": 3, "acc": 0.5}, epoch=2)]
    path.write_text("v,epoch\n1,0\n7,1\n8,2\n9,3\n")  # another run
    assert [r.metrics["v"] for r in reader.poll()] == [7, 8, 9]


def test_a_file_that_is_replaced_is_read_anew(tmp_path):
    path, other = tmp_path / "m.csv", tmp_path / "next.csv"
    reader = CsvReader(path, "v", {})
    rows = [f"{number},{number / 7}" for number in range(2000)]
    for count in (1, 900, 901, 2000):
        other.write_text("\n".join(["epoch,v", *rows[:count]]) + "\n")
        other.replace(path)
        before = {1: 0, 900: 1, 901: 900, 2000: 901}[count]
        assert [r.epoch for r in reader.poll()] == list(range(before, count))


def test_rows_of_an_interrupted_run_are_passed_over(tmp_path):
    path = tmp_path / "m.csv"
    path.write_text("epoch,v\n0,5\n")
    reader = CsvReader(path, "v", {})
    reader.skip()
    append(path, "1,4\n")
    assert [r.metrics["v"] for r in reader.poll()] == [4]


def test_the_csv_of_lightning_is_read_while_it_grows(tmp_path):
    logs = pytest.importorskip("lightning.fabric.loggers.csv_logs")
    path = tmp_path / "metrics.csv"
    writer = logs._ExperimentWriter(str(tmp_path))
    reader = CsvReader(path, "val_loss", {})
    found = []
    rows = [
        {"train_loss": 0.9, "epoch": 0},
        {"val_loss": 0.8, "epoch": 0},
        {"val_loss": 0.7, "epoch": 1, "val_acc": 0.5},
        {"lr": 0.1, "train_loss": 0.6, "epoch": 2},
        {"val_loss": 0.5, "epoch": 2, "val_acc": 0.6},
    ]
    for step, row in enumerate(rows):
        writer.log_metrics(row, step)
        writer.save()
        found += reader.poll()
    assert found == [
        Reading(metrics={"val_loss": 0.8}, epoch=0, step=1),
        Reading(metrics={"val_loss": 0.7, "val_acc": 0.5}, epoch=1, step=2),
        Reading(metrics={"val_loss": 0.5, "val_acc": 0.6}, epoch=2, step=4),
    ]


numbers = st.floats(allow_nan=False, width=32)
rows = st.lists(
    st.fixed_dictionaries(
        {"epoch": st.integers(0, 99)},
        optional={
            "v": numbers,
            "t": st.text(st.characters(codec="utf-8"), max_size=6),
            "b": numbers,
        },
    ),
    max_size=8,
)
cuts = st.lists(st.integers(0, 500), max_size=6)


def as_csv(rows):
    file = io.StringIO(newline="")
    writer = csv.DictWriter(file, ["t", "epoch", "v", "b"], quoting=csv.QUOTE_MINIMAL)
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue()


def as_json(rows):
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


@settings(max_examples=60)
@pytest.mark.parametrize(("kind", "text"), [(CsvReader, as_csv), (JsonLinesReader, as_json)])
@given(rows=rows, cuts=cuts)
def test_however_the_bytes_come_the_reports_are_the_same(kind, text, rows, cuts):
    rows = [{k: v.replace("\r", "") if k == "t" else v for k, v in row.items()} for row in rows]
    data = text(rows).encode()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "metrics"
        path.write_bytes(data)
        whole = kind(path, "v", {}).poll(ended=True)
        path.unlink()
        reader = kind(path, "v", {})
        found = reader.poll()
        for start, stop in zip([0, *sorted(cuts)], [*sorted(cuts), len(data)], strict=True):
            with path.open("ab") as file:
                file.write(data[start:stop])
            found += reader.poll()
        found += reader.poll(ended=True)
    assert repr(found) == repr(whole)  # a text may say NaN, which equals nothing
    assert [(r.metrics["v"], r.epoch) for r in whole] == [
        (row["v"], row["epoch"]) for row in rows if "v" in row
    ]
    assert [r.metrics.get("b") for r in whole] == [row.get("b") for row in rows if "v" in row]
