"""What a worker ran is stored with it, and the report says it: commands, machine, data."""

import hashlib
import json
import platform
import sys

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny_studies import make_study, tiny_task
from torch.utils.data import DataLoader, Dataset, TensorDataset

import lrsearch
from lrsearch.report.documents import reviewed_document
from lrsearch.report.load import load_report
from lrsearch.report.text.provenance import provenance
from lrsearch.storage import workers
from lrsearch.task.worker_facts import DataFacts, WorkerFacts
from lrsearch.training.data.facts import data_facts
from lrsearch.worker.command_line import STARTED_BY, command_line, masked
from lrsearch.worker.this_process import work_here


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["/usr/bin/lrsearch", "run", "a b.yaml"], "lrsearch run 'a b.yaml'"),
        (["/x/lrsearch/__main__.py", "worker", "digits"], "lrsearch worker digits"),
        (["train.py", "--lr", "3"], "python train.py --lr 3"),
        ([""], "python -"),
    ],
)
def test_the_line_is_what_was_typed(words, line):
    assert command_line(words, {}) == line


def test_a_worker_that_a_command_started_has_that_commands_line():
    line = "lrsearch tune train.py"
    assert command_line(["/x/lrsearch", "worker", "digits"], {STARTED_BY: line}) == line


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (["--storage", "postgresql://me:s3cret@db/x"], ["--storage", "postgresql://me:***@db/x"]),
        (["--storage=postgresql://:s3cret@db/x"], ["--storage=postgresql://:***@db/x"]),
        (["postgresql://db/x?user=me&password=s3cret"],
         ["postgresql://db/x?user=me&password=***"]),
        (["--api-key", "s3cret", "--lr", "1"], ["--api-key", "***", "--lr", "1"]),
        (["--hf_token=s3cret"], ["--hf_token=***"]),
        (["WANDB_API_KEY=s3cret"], ["WANDB_API_KEY=***"]),
        (["--epochs", "3", "sqlite:///a.db"], ["--epochs", "3", "sqlite:///a.db"]),
    ],
)  # fmt: skip
def test_secrets_are_masked(words, shown):
    assert masked(words) == shown


@given(st.text("abcXYZ019!$%^*()_+=-:@?&#~.", min_size=1, max_size=20))
def test_no_password_of_a_url_is_kept(password):
    [shown] = masked([f"postgresql://user:q{password}q@host/name"])
    assert shown == "postgresql://user:***@host/name"


def of(train, validation=None, **changes):
    task = lrsearch.Task(model=lambda: None, train=train, validation=validation, loss=None)
    return data_facts(task, **changes)


def test_tensors_are_hashed_row_by_row_as_numpy_has_them():
    inputs = torch.arange(24.0).reshape(6, 4)
    targets = torch.arange(6)
    digest = hashlib.sha256(inputs.numpy().tobytes() + targets.numpy().tobytes()).hexdigest()
    expected = DataFacts(
        name="training", shape="6 samples: float32 6 x 4, int64 6", sha256=digest, size=144,
        hashed=144,
    )  # fmt: skip
    assert of((inputs, targets)) == (expected,)
    assert of(TensorDataset(inputs, targets)) == (expected,)
    apart = torch.zeros(6, 8)[:, ::2]
    apart.copy_(inputs)
    assert not apart.is_contiguous()
    assert of((apart, targets)) == (expected,)
    assert of((inputs + 1, targets)) != (expected,)


@given(st.integers(1, 150))
def test_of_much_data_the_first_bytes_are_hashed(most):
    inputs, targets = torch.arange(24.0).reshape(6, 4), torch.arange(6)
    whole = inputs.numpy().tobytes() + targets.numpy().tobytes()
    [found] = of((inputs, targets), most=most)
    assert found.hashed == min(most, len(whole))
    assert found.sha256 == hashlib.sha256(whole[:most]).hexdigest()


class Lazy(Dataset):
    def __len__(self):
        return 7

    def __getitem__(self, index):
        raise AssertionError("no sample is asked for")


def test_samples_that_are_made_on_demand_are_counted_and_not_hashed():
    loader = DataLoader(TensorDataset(torch.zeros(3)))
    found = of(Lazy(), lambda: loader)
    assert found == (
        DataFacts(name="training", shape="7 samples of Lazy"),
        DataFacts(name="validation", shape="a function"),
    )


def test_low_precision_and_empty_tensors_have_a_hash():
    [found] = of((torch.zeros(2, 3, dtype=torch.bfloat16), torch.zeros(2, 0)))
    assert found.shape == "2 samples: bfloat16 2 x 3, float32 2 x 0"
    assert found.sha256 == hashlib.sha256(bytes(12)).hexdigest()


def test_a_workers_facts_are_stored_and_reported(database, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["train.py", "--storage", "postgresql://me:s3cret@db/x"])
    search = make_study(database, budget={"trials": 2}, range_test="none", confirm="none")
    work_here(search, tiny_task(), device="cpu", fuse="off")
    report = load_report(database, search.name)
    shown = dict(provenance(report))
    assert shown["command lines"] == "python train.py --storage 'postgresql://me:***@db/x'"
    assert shown["Python"].endswith(platform.python_version())
    assert f"torch {torch.__version__}" in shown["packages of the workers"]
    train = tiny_task().make().train
    digest = hashlib.sha256(b"".join(part.numpy().tobytes() for part in train)).hexdigest()
    assert shown["training data"] == (
        "96 samples: float32 96 x 4, float32 96 x 1; SHA-256 of the 1,920 bytes of these tensors: "
        + digest
    )
    [worker] = reviewed_document(report)["provenance"]["workers"]
    assert WorkerFacts.from_dict(json.loads(json.dumps(worker["facts"]))).data[0].sha256 == digest
    assert shown["workers that took part"].startswith("1 worker on ")


def test_workers_that_differ_are_told_apart(database):
    search = make_study(database)
    names = ["a/1/2:7:1", "a/1/2:8:1", "b/1/2:9:1"]
    with database.begin() as connection:
        for i, name in enumerate(names):
            workers.register(connection, search.study_id, name, device="cpu", version="1")
            if i < 2:
                sets = (DataFacts(name="training", shape="7 samples of Lazy"),)
                mine = WorkerFacts(
                    command=f"lrsearch worker {i}", python="CPython 3.11", system="Linux",
                    hardware="cpu", packages={"torch": "2"}, data=sets,
                )  # fmt: skip
                workers.describe(connection, search.study_id, name, mine)
    shown = dict(provenance(load_report(database, search.name)))
    assert shown["command lines"] == "lrsearch worker 0; lrsearch worker 1"
    assert shown["workers that took part"] == (
        "2 workers on a (processes 7; 8); 1 worker on b (process 9)"
    )
    assert shown["training data"] == (
        "7 samples of Lazy, not hashed: the samples are no tensors in memory"
    )
