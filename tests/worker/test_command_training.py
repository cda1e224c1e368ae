"""A trial of a command: where its reports stand, how it ends, and how it goes on."""

import json
import sys
import time

import pytest
from processes import PATIENCE_SECONDS

from lrsearch.child_process.supervisor import Supervisor
from lrsearch.spec.study_spec import StudySpec
from lrsearch.training.failures import TrialFailedError
from lrsearch.training.training import Purpose
from lrsearch.worker.commands.training import CommandTraining

#: Prints a line for each epoch from the one in `{dir}/state` on, and keeps it there.
SCRIPT = """
import sys, pathlib
print("lr", sys.argv[1])
state = pathlib.Path(sys.argv[2]) / "state"
start = int(state.read_text()) if sys.argv[3:4] == ["--resume"] else FIRST
for epoch in range(start, LAST + 1):
    print(f"epoch {epoch} step {epoch * 10} valid loss {1 / (epoch + 1)}")
    state.write_text(str(epoch + 1))
END
"""


@pytest.fixture(scope="module")
def supervisor():
    with Supervisor() as made:
        yield made


@pytest.fixture
def make(supervisor, tmp_path):
    """Makes a training of the script, with fields of the study changed."""

    def made(first=1, last=4, end="", attempt=1, **changes):
        code = SCRIPT.replace("FIRST", str(first)).replace("LAST", str(last)).replace("END", end)
        code = code.replace("{", "{{").replace("}", "}}")
        spec = StudySpec.from_dict(
            {
                "name": "command",
                "command": [sys.executable, "-c", code, "{lr}", "{dir}"],
                "report": {"val_loss": r"epoch (?P<epoch>\d+).*valid loss (\S+)"},
                "epochs": 4,
                "budget": {"trials": 1},
                "confirm": "none",
                **changes,
            }
        )
        recipe = spec.recipe({"optimizer": {"name": "script", "lr": 0.1}}, batch_size=None)
        return CommandTraining(
            spec,
            recipe,
            Purpose(folder="trial-0", attempt=attempt, worker="w"),
            tmp_path / "trial-0",
            supervisor,
            device="cpu",
            reports=None,
        )

    return made


def curve(training, most=99):
    """Follow the command to its end, or to so many validations: their places and losses."""
    rows, deadline = [], time.monotonic() + PATIENCE_SECONDS
    while not training.done and len(rows) < most:
        assert time.monotonic() < deadline
        training.go_on(0.25)
        if training.is_due:
            row = training.conclude()
            rows.append((row.epoch, row.step, row.val_loss))
    return rows


WHOLE = [(epoch, epoch, 1 / (epoch + 1)) for epoch in (1, 2, 3, 4)]


def test_the_reports_of_a_command_are_its_curve(make):
    training = make()
    assert curve(training) == WHOLE
    assert training.finished
    assert training.progress == 1.0
    assert training.end_reason is None


def test_a_first_epoch_that_is_called_0_is_the_first(make):
    assert [epoch for epoch, _, _ in curve(make(first=0, last=3))] == [1, 2, 3, 4]


def test_a_length_in_steps_counts_the_steps_of_the_reports(make):
    report = {"val_loss": r"step (?P<step>\d+) valid loss (\S+)"}
    training = make(epochs=None, steps=40, report=report)
    assert [(epoch, step) for epoch, step, _ in curve(training)] == [
        (10, 10), (20, 20), (30, 30), (40, 40),
    ]  # fmt: skip
    assert training.progress == 1.0
    with pytest.raises(TrialFailedError, match=r"the reports do not say their step; let a pattern"):
        curve(make(epochs=None, steps=40))


def test_without_a_length_the_whole_is_known_at_the_end(make):
    training = make(epochs=None)
    assert len(curve(training, most=3)) == 3
    assert training.progress == 0.0
    assert len(curve(training)) == 1
    assert training.progress == 1.0


def test_a_script_that_stops_early_is_finished_and_says_where(make):
    training = make(last=2)
    assert len(curve(training)) == 2
    assert training.finished
    assert training.end_reason == "ended by the command at epoch 2 of 4"


@pytest.mark.parametrize(
    ("end", "said"),
    [
        ("raise ValueError('no luck')", "ended with status 1: ValueError: no luck"),
        ("import os; os._exit(3)", "ended with status 3: epoch 4 step 40"),
        ("import os; os.kill(os.getpid(), 11)", "ended by signal 11"),
        ("import os; os.kill(os.getpid(), 9)", "ended by signal 9"),
    ],
)
def test_a_command_that_dies_has_failed_with_its_last_words(make, end, said):
    with pytest.raises(TrialFailedError, match=said):
        curve(make(end=end))


def test_a_program_that_is_not_there_and_a_run_without_a_report_have_failed(make):
    with pytest.raises(TrialFailedError, match="no-such-program cannot be run"):
        curve(make(command=["no-such-program", "{lr}"]))
    with pytest.raises(
        TrialFailedError, match=r"ended without a report: nothing matched .*lr 0\.1$"
    ):
        curve(make(last=0))


def test_the_command_that_is_run_stands_in_the_output_and_is_no_report(make):
    training = make(report={"val_loss": r"lr (\S+)"})
    assert curve(training) == [(1.0, 1, 0.1)]
    assert (training.folder / "output.log").read_text().startswith(f"$ {sys.executable} -c ")


@pytest.mark.parametrize("taken", [1, 2, 3])
@pytest.mark.parametrize("ahead", [-1, 0, 1])
def test_a_command_that_goes_on_gives_the_curve_of_one_that_was_not_interrupted(make, taken, ahead):
    """Its own state may be older or newer than the curve that was kept."""
    training = make(last=4)
    rows = curve(training, most=taken)
    kept = training.pack()
    curve(training)  # what it printed until it was killed
    training.end("stopped")
    state = max(1, min(taken + ahead, 4)) + 1
    (training.folder / "state").write_text(str(state))
    later = make(attempt=2, resume_args=["--resume"])
    assert later.unpack(kept) == []
    assert rows + curve(later) == WHOLE
    assert later.progress == 1.0


def test_a_checkpoint_with_its_rungs_beside_the_position_is_read(make):
    training = make()
    curve(training, most=2)
    training.rungs = {1: 0}
    kept = json.loads(training.pack())
    training.end("stopped")
    earlier = {**kept, "rungs": kept["position"].pop("rungs")}
    del earlier["position"]["start_loss"]
    later = make(attempt=2, resume_args=["--resume"])
    assert later.unpack(json.dumps(earlier).encode()) == []
    assert (later.validated, later.rungs) == (2, {1: 0})
    damaged = json.dumps({**kept, "position": {**kept["position"], "rungs": None}}).encode()
    assert make(attempt=3).unpack(damaged) is None


def test_a_command_that_begins_anew_finds_its_folder_empty(make):
    training = make()
    curve(training)
    (training.folder / "sub").mkdir()
    anew = make(attempt=2)
    assert curve(anew) == WHOLE
    names = sorted(path.name for path in anew.folder.iterdir())
    assert names == ["output.log", "recipe.json", "state"]
    assert (anew.folder / "output.log").read_text().count("\n$ ") == 1


#: Goes on only where the state is: a script that was killed before it had written any.
NO_STATE = [sys.executable, "-c", """
import sys, pathlib
if sys.argv[3:]:
    raise FileNotFoundError("no checkpoint")
for epoch in range(1, 5):
    print(f"epoch {{epoch}} valid loss {{1 / (epoch + 1)}}")
""", "{lr}", "{dir}"]  # fmt: skip


def test_a_command_without_the_state_to_go_on_from_is_begun_again(make, caplog):
    fields = {"resume_args": ["--resume"], "command": NO_STATE}
    first = make(**fields)
    assert curve(first, most=2) == WHOLE[:2]
    kept = first.pack()
    first.end("interrupted")
    second = make(attempt=2, **fields)
    assert second.unpack(kept) == []
    assert curve(second) == WHOLE[2:]
    assert second.finished
    assert "could not go on with resume_args and begins anew" in caplog.text
    second.end("done")


def test_a_command_that_cannot_go_on_and_counts_nothing_has_failed(make):
    report = {"val_loss": r"valid loss (\S+)"}
    fields = {"resume_args": ["--resume"], "command": NO_STATE, "report": report}
    first = make(**fields)
    curve(first, most=2)
    kept = first.pack()
    first.end("interrupted")
    second = make(attempt=2, **fields)
    second.unpack(kept)
    with pytest.raises(TrialFailedError, match="ended with status 1: FileNotFoundError"):
        curve(second)
    second.end("failed")
