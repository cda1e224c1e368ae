"""The test set: scored by runs of the test round, where their validations say so; never else."""

from pathlib import Path

import pytest
import torch
from small import CLASSES, CPU, FEATURES, accuracy, make_tensors
from small import make_task as make_small_task
from tiny_studies import opened, worker_of
from torch import nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, Dataset

from lrsearch.confirmation.runs import PlannedRun
from lrsearch.errors import TaskError
from lrsearch.report.load import report_of
from lrsearch.report.summary import summarize
from lrsearch.spec.study_spec import StudySpec
from lrsearch.spec.trial_value import best_validation
from lrsearch.storage import confirmations
from lrsearch.study.create import create_study
from lrsearch.study.prepare_database import prepare
from lrsearch.task.task import LoadedTask
from lrsearch.training.start import start_training
from lrsearch.training.task_cache import TaskCache
from lrsearch.training.try_task import try_task
from lrsearch.worker.stop_signal import Stop

INPUTS, TARGETS = make_tensors(70, seed=5)
RECIPE = {"optimizer": {"name": "sgd", "lr": 0.2}, "schedule": {"name": "constant"}}
MINIMIZE = {"metric": "val_loss", "direction": "minimize"}
#: It falls as training goes on, so that the first validation is the best.
FALLING = {"metric": "entropy", "direction": "maximize"}


def entropy(output, target):
    return cross_entropy(output, target)


class Watched(Dataset):
    """The test set; how often a sample of it was looked at, and what happens then."""

    def __init__(self):
        self.looks, self.then = 0, lambda: None

    def __len__(self):
        return len(INPUTS)

    def __getitem__(self, index):
        self.looks += 1
        self.then()
        return INPUTS[index], TARGETS[index]


@pytest.fixture
def test_set():
    return Watched()


@pytest.fixture
def database(tmp_path):
    with opened(f"sqlite:///{tmp_path}/study.db") as database:
        prepare(database)
        yield database


def make_task(test_set, **changes):
    return make_small_task(
        model=lambda: nn.Linear(FEATURES, CLASSES),
        metrics={"accuracy": accuracy, "entropy": entropy},
        test=test_set,
        **changes,
    )


def load(test_set):
    target = make_task(test_set)
    return LoadedTask(reference="live:task", source=Path(), target=target, code={})


def make_study(database, test_set, folder, **changes):
    fields = {
        "name": "tested",
        "task": "live:task",
        "epochs": 4,
        "budget": {"trials": 6},
        "confirm": "none",
        "enqueue": [RECIPE],
        "checkpoints": str(folder),
    }
    spec = StudySpec.from_dict({**fields, **changes})
    study, _ = create_study(database, spec, load(test_set), steps_per_epoch=6, exist_ok=False)
    return study


def work(study, test_set, stop=None, fuse="off"):
    worker_of(study, load(test_set), stop or Stop(), fuse=fuse).run()


def add_runs(study, *seeds, round_="test"):
    runs = [PlannedRun(number=0, seed=s, round=round_, role="winner") for s in seeds]
    with study.database.begin() as connection:
        confirmations.add(connection, study.study_id, runs)


def runs_of(study, round_="test"):
    with study.database.read() as connection:
        found = confirmations.everything(connection, study.study_id)
    return [run for run in found if run.round == round_]


def by_hand(study, test_set, seed):
    """The run's best validation, and the test scores of its weights then."""
    recipe = study.spec.recipe(RECIPE, batch_size=16).model_copy(update={"seed": seed})
    training = start_training(study.spec, recipe, TaskCache(load(test_set), CPU))
    rows, scores = [], []
    while not training.done:
        training.advance(training.next_validation)
        rows.append(training.validate(with_ema=training.validated == 3))
        with torch.no_grad():
            output = training.model.eval()(INPUTS)
        scores.append(
            {"loss": cross_entropy(output, TARGETS), "accuracy": accuracy(output, TARGETS)}
        )
    best = best_validation(rows, study.spec)
    return best.validation, {k: float(v) for k, v in scores[best.validation - 1].items()}


def test_nothing_but_the_test_round_looks_at_the_test_set(database, test_set, tmp_path):
    study = make_study(database, test_set, tmp_path, budget={"trials": 3})
    spec, loaded = study.spec, load(test_set)
    try_task(loaded.target, spec, CPU)
    work(study, test_set, fuse=2)
    add_runs(study, 11, 12, round_="choose")
    add_runs(study, 13, round_="report")
    work(study, test_set)
    assert {run.state for run in runs_of(study, "report")} == {"complete"}
    assert {run.test for run in runs_of(study, "choose") + runs_of(study, "report")} == {None}
    assert test_set.looks == 0


def test_a_worker_that_confirms_scores_the_recommended_on_the_test_set_once(
    database, test_set, tmp_path
):
    changes = {"confirm": "auto", "budget": {"trials": 12}}
    study = make_study(database, test_set, tmp_path, objective=FALLING, **changes)
    work(study, test_set)
    (run,) = runs_of(study)
    (first, *_) = report_of(study).confirmed
    assert (run.number, run.state) == (first.trial, "complete")
    assert first.reasons.test == run.test is not None
    assert (len(runs_of(study, "report")), test_set.looks) == (2, len(INPUTS))


def test_a_confirmation_ends_with_the_test_set(database, test_set, tmp_path):
    lr = {"low": 0.05, "high": 0.2}
    plain = {"range_test": "none", "portfolio": "none", "pruning": "none", "epochs": 1}
    plain["space"] = {"optimizers": {"sgd": {"lr": lr}}, "schedules": {"constant": {}}}
    changes = {**plain, "budget": {"trials": 12}, "confirm": "auto"}
    study = make_study(database, test_set, tmp_path, **changes)
    work(study, test_set)
    (run,) = runs_of(study)
    assert len(runs_of(study, "report")) == 2
    first = summarize(study)["confirmed"][0]
    assert (first["trial"], first["test"]) == (run.number, run.test)
    assert run.test.keys() == {"loss", "accuracy", "entropy"}


def test_a_metric_that_is_no_number_leaves_a_run_its_value(database, test_set, tmp_path):
    study = make_study(database, test_set, tmp_path, budget={"trials": 1})
    work(study, test_set)
    add_runs(study, 51, round_="report")
    task = make_task(test_set)
    task.metrics["accuracy"] = lambda output, target: float("nan")
    loaded = LoadedTask(reference="live:task", source=Path(), target=task, code={})
    worker_of(study, loaded, Stop(), fuse="off").run()
    (run,) = runs_of(study, "report")
    assert run.value is not None
    assert run.metrics["accuracy"] is None
    assert summarize(study)["confirmed"][0]["metrics"].keys() == {"entropy"}


@pytest.mark.parametrize("fuse", ["off", 2])
@pytest.mark.parametrize(
    "objective", [MINIMIZE, {**MINIMIZE, "at": "last"}, FALLING, "calibrated_loss"], ids=str
)
def test_a_run_keeps_the_test_scores_of_its_best_validation(
    objective, fuse, database, test_set, tmp_path
):
    study = make_study(database, test_set, tmp_path, objective=objective, budget={"trials": 2})
    work(study, test_set)
    add_runs(study, 21, 22)
    work(study, test_set, fuse=fuse)
    looks = test_set.looks
    for run in runs_of(study):
        best, expected = by_hand(study, test_set, run.seed)
        assert run.state == "complete"
        assert run.test.keys() == run.metrics.keys() | {"loss"}
        for name, value in expected.items():
            assert run.test[name] == pytest.approx(value, rel=1e-5)
    once = len(INPUTS)
    if objective is FALLING:
        assert (best, looks) == (1, 2 * once)
    elif study.spec.objective.at == "last":
        assert looks == 2 * once
    assert 2 * once <= looks <= 12 * once  # six validations each


def test_the_scores_survive_a_worker(database, test_set, tmp_path):
    study = make_study(database, test_set, tmp_path, objective=FALLING, budget={"trials": 2})
    work(study, test_set)
    add_runs(study, 31)
    stop = Stop()
    test_set.then = lambda: setattr(stop, "signalled", True)
    work(study, test_set, stop)
    assert [run.state for run in runs_of(study)] == ["running"]
    work(study, test_set)
    (run,) = runs_of(study)
    _, expected = by_hand(study, test_set, 31)
    assert (run.attempt, test_set.looks) == (2, len(INPUTS))
    assert run.test["loss"] == pytest.approx(expected["loss"], rel=1e-5)


def test_a_test_set_that_fails_fails_the_run_alone(database, test_set, tmp_path):
    study = make_study(database, test_set, tmp_path, budget={"trials": 2})
    work(study, test_set)

    def fail():
        raise OSError("the disk with the test set is gone")

    test_set.then = fail
    add_runs(study, 41)
    add_runs(study, 42, round_="report")
    work(study, test_set, fuse=2)
    (tested,), (reported,) = runs_of(study), runs_of(study, "report")
    assert (tested.state, reported.state) == ("failed", "complete")
    assert "the disk with the test set is gone" in tested.reason


@pytest.mark.parametrize(
    ("test", "words"),
    [
        ((INPUTS, TARGETS[:-1]), "test has 70 inputs, but 69 targets"),
        ((INPUTS[:0], TARGETS[:0]), "test is empty"),
        (3, "test is int, but"),
        (lambda: DataLoader(Watched(), batch_size=99, drop_last=True), "test's DataLoader drops"),
    ],
    ids=["unequal", "empty", "a number", "drops all"],
)
def test_an_unusable_test_set_is_refused_before_training(test, words):
    spec = StudySpec.from_dict(
        {"name": "a", "task": "live:task", "epochs": 1, "budget": {"trials": 1}}
    )
    with pytest.raises(TaskError, match=words):
        try_task(make_small_task(test=test), spec, CPU)
