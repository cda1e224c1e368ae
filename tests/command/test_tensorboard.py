"""Metrics from the event files of TensorBoard."""

import sys

import pytest

from lrsearch.command.reading import Reading
from lrsearch.command.tensorboard import TensorboardReader
from lrsearch.errors import TaskError


def written_events(folder):
    """An event file with values of three tags, as bytes."""
    pytest.importorskip("tensorboard")
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(folder) as writer:
        for step in (10, 20, 30):
            writer.add_scalar("Loss/train", 9.0, step)
            writer.add_scalar("Loss/valid", step / 4, step)
            writer.add_scalar("acc", step / 8, step)
    (file,) = folder.iterdir()
    return file.name, file.read_bytes()


WORDS = {"val_loss": "Loss/valid", "accuracy": "acc"}
ALL = [
    Reading(metrics={"val_loss": step / 4, "accuracy": step / 8}, step=step)
    for step in (10, 20, 30)
]


def test_each_value_of_the_tag_is_a_report_however_the_bytes_come(tmp_path):
    name, data = written_events(tmp_path / "source")
    logs = tmp_path / "logs"
    reader = TensorboardReader(logs, "val_loss", WORDS)
    assert reader.poll() == []
    (logs / "version_0").mkdir(parents=True)
    found = []
    for start in range(0, len(data), 37):
        with (logs / "version_0" / name).open("ab") as file:
            file.write(data[start : start + 37])
        found += reader.poll()
    assert found == ALL
    assert reader.poll(ended=True) == []


def test_what_an_interrupted_run_wrote_is_passed_over_and_its_sequel_read(tmp_path):
    name, data = written_events(tmp_path / "source")
    logs = tmp_path / "logs"
    logs.mkdir()
    (logs / name).write_bytes(data)
    reader = TensorboardReader(logs, "val_loss", WORDS)
    reader.skip()
    assert reader.poll() == []
    (logs / f"{name}.1").write_bytes(data)
    assert reader.poll() == ALL


def test_where_nothing_was_read_the_tags_are_named(tmp_path):
    written_events(tmp_path / "logs")
    reader = TensorboardReader(tmp_path / "logs", "val_loss", {})
    assert reader.poll() == []
    assert reader.explain() == (
        f"{tmp_path / 'logs'} has no step with 'val_loss'; its tags: Loss/train, Loss/valid, acc"
    )
    empty = TensorboardReader(tmp_path / "none", "val_loss", {})
    assert empty.poll() == []
    assert empty.explain().endswith("none holds no event file of TensorBoard")


def test_without_the_package_the_error_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard.backend.event_processing", None)
    with pytest.raises(TaskError, match=r"pip install 'lrsearch\[tensorboard\]'$"):
        TensorboardReader(tmp_path, "val_loss", {})
