"""A worker whose trials have two processes each."""

import logging
from pathlib import Path

import pytest
import torch
from sqlalchemy import select

from lrsearch.spec.study_spec import StudySpec
from lrsearch.storage.tables import trials
from lrsearch.study.create import create_study
from lrsearch.task.find import load_task
from lrsearch.worker.stop_signal import Stop
from lrsearch.worker.tasks.program import TaskProgram
from lrsearch.worker.worker import Worker

TASKS = Path(__file__).parents[1] / "tasks"


@pytest.mark.slow
def test_a_trial_goes_on_when_a_process_of_it_was_killed(database, tmp_path, caplog):
    caplog.set_level(logging.INFO, "lrsearch")
    file = tmp_path / "word"
    file.write_text("SIGKILL")
    spec = StudySpec.from_dict(
        {
            "name": "shared",
            "task": "shared.py:task",
            "epochs": 2,
            "devices_per_trial": 2,
            "budget": {"trials": 2},
            "confirm": "none",
            "range_test": "none",
            "portfolio": "none",
            "checkpoints": str(tmp_path / "checkpoints"),
            "space": {
                "optimizers": {"sgd": {}},
                "params": {"loss": "troubled", "file": str(file)},
            },
        }
    )
    loaded = load_task("shared.py:task", TASKS)
    search, _ = create_study(database, spec, loaded, steps_per_epoch=6, exist_ok=False)
    device = torch.device("cpu")
    Worker(search, TaskProgram(spec, loaded, device, [TASKS]), device, Stop()).run()
    with database.read() as connection:
        states = connection.execute(select(trials.c.state, trials.c.deaths)).all()
    assert [str(state) for state, _ in states] == ["complete", "complete"]
    assert "process 1 of it was killed" in caplog.text
    assert not torch.distributed.is_initialized()
