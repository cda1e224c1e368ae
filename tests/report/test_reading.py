"""A study is read once: in few statements, without what only training needs, and as it stands."""

import subprocess
import sys

import pytest
import torch
from sqlalchemy import event
from tiny_studies import ask, ended, make_study, work

from lrsearch.catalog.optimizers import OPTIMIZERS
from lrsearch.catalog.schedules import SCHEDULES
from lrsearch.errors import SpecError, StudyError
from lrsearch.recipe.recipe import Recipe
from lrsearch.report.documents import reviewed_document
from lrsearch.report.load import load_report, report_of
from lrsearch.report.page.page import write_report
from lrsearch.report.plots.lr_sequences import lr_sequence
from lrsearch.report.text.answer import study_text
from lrsearch.storage import confirmations
from lrsearch.storage.studies import set_state
from lrsearch.study.checkpoint_cleanup import delete_study
from lrsearch.study.prepare_database import open_database
from lrsearch.study.status import is_finished
from lrsearch.trial.states import StudyState, TrialState

#: Of a study that stands alone; of one in a project two more.
MOST_STATEMENTS = 12
READERS = (
    "load",
    "model",
    "documents",
    "summary",
    "files",
    "one_trial",
    "workers",
    "text.answer",
    "text.hindsight",
    "text.origin",
    "text.page",
    "text.plan",
    "text.range_test",
    "text.trial",
)


@pytest.fixture
def database(tmp_path):
    database = open_database(f"sqlite:///{tmp_path}/study.db", create=True)
    yield database
    database.close()


@pytest.fixture
def statements(database):
    """Every SQL statement, as it is sent."""
    found = []

    def note(connection, cursor, statement, *rest):
        found.append(statement)

    event.listen(database.engine, "before_cursor_execute", note)
    return found


def test_all_output_is_made_of_one_reading(database, statements, tmp_path):
    changes = {"range_test": "auto", "confirm": "auto"}
    search = make_study(database, budget={"trials": 8}, **changes)
    work(search)
    statements.clear()
    report = load_report(database, "tiny", with_curves=True)
    assert report.confirmed
    assert report.curves
    read = [text for text in statements if text.startswith("SELECT")]
    assert len(read) <= MOST_STATEMENTS, read
    assert sum("FROM lr_trial \n" in text for text in read) <= 1
    statements.clear()
    reviewed_document(report)
    study_text(report)
    write_report(report, tmp_path / "report")
    assert statements == []


def test_who_only_reads_loads_nothing_that_trains_samples_or_draws():
    modules = ", ".join(f"lrsearch.report.{name}" for name in READERS)
    heavy = "{'torch', 'optuna', 'scipy', 'matplotlib'}"
    code = f"import sys, {modules}; assert not {heavy} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_state_is_that_of_the_workers(database):
    search = make_study(database, budget={"trials": 8}, confirm={"runs": 2})
    seen = []

    def look():
        state = report_of(search).state
        assert (state == "finished") == is_finished(search)
        seen.append(state)

    look()
    for _ in range(8):
        trial = ask(search)
        look()
        search.tell(trial, ended(TrialState.DIVERGED))
    look()
    assert seen == ["open"] * 9 + ["finished"]  # nothing is complete, so nothing is confirmed


def test_a_study_whose_confirmation_is_due_is_open(database):
    search = make_study(database, budget={"trials": 8}, confirm={"runs": 2})
    with database.begin() as connection:
        set_state(connection, search.study_id, StudyState.PAUSED)
    assert report_of(search).state == "paused"
    with database.begin() as connection:
        set_state(connection, search.study_id, StudyState.OPEN)
    work(search)
    report = report_of(search)
    assert (report.state, is_finished(search)) == ("finished", True)
    with database.begin() as connection:
        confirmations.clear(connection, search.study_id)
    assert (report_of(search).state, is_finished(search)) == ("open", False)


def test_a_study_that_was_deleted_is_said_to_be_gone(database):
    search = make_study(database)
    delete_study(search)
    with pytest.raises(StudyError, match="study 'tiny' is no longer in the database"):
        report_of(search)


def built(optimizer, schedule, warmup):
    """Learning rates and momenta of each step, from the real optimizer and scheduler."""
    recipe = drawn(optimizer, schedule, warmup)
    model = torch.nn.ParameterList([torch.nn.Parameter(torch.zeros(2, 2))])
    built_optimizer, scheduler = recipe.build(model, steps_per_epoch=10)
    lrs, momenta = [], []
    for _ in range(50):
        group = built_optimizer.param_groups[0]
        lrs.append(float(group["lr"]))
        momenta.append(group["betas"][0] if "betas" in group else group.get("momentum"))
        built_optimizer.step()
        scheduler.step()
    return tuple(lrs), tuple(momenta)


def drawn(optimizer, schedule, warmup):
    cycled = {"cycle_momentum": True} if schedule == "one_cycle" else {}
    return Recipe.from_dict(
        {
            "optimizer": {"name": optimizer, "lr": 0.1},
            "schedule": {"name": schedule, **cycled},
            "warmup": warmup,
            "epochs": 5,
        }
    )


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_drawn_sequence_is_that_of_the_real_optimizer(schedule):
    compared = 0
    for optimizer in OPTIMIZERS:
        for warmup in (0.0, 0.2):
            try:
                recipe = drawn(optimizer, schedule, warmup)
            except SpecError:  # these do not go together
                continue
            lrs, momenta = built(optimizer, schedule, warmup)
            found = lr_sequence(0, recipe, 10, with_momentum=True)
            assert found.lrs == (*lrs, lrs[-1])
            if momenta[0] is None:
                assert found.momenta is None
            else:
                assert found.momenta == (*momenta, momenta[-1])
            compared += 1
    assert compared >= len(OPTIMIZERS) / 2
