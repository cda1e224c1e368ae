"""Reports and exports of studies that a command or a training script of the user's own trains."""

import json
import re
import subprocess
from dataclasses import replace

import pytest
from tiny_studies import ask, curve_row, ended, opened

from lrsearch.advice.cost import cost_plan
from lrsearch.advice.lint import Scale, lint
from lrsearch.errors import SpecError, StudyError
from lrsearch.range_test.plan import ramp_plan, range_plan
from lrsearch.recipe.recipe import Recipe
from lrsearch.report.documents import reviewed_document
from lrsearch.report.figures.all import figures
from lrsearch.report.files import export_recipe, write_files
from lrsearch.report.load import load_report
from lrsearch.report.output import chunks
from lrsearch.report.page import charts
from lrsearch.report.plots.sampled_schedules import save_preview
from lrsearch.report.text.answer import answer_text, study_text
from lrsearch.report.text.plan import plan_text
from lrsearch.spec.command_code import load_command
from lrsearch.spec.command_line import command_line
from lrsearch.spec.sample_recipes import sample
from lrsearch.spec.study_spec import StudySpec
from lrsearch.storage import curves
from lrsearch.study.create import create_study
from lrsearch.task.script import load_script
from lrsearch.trial.states import TrialState

COMMAND = ["python", "-u", "main.py", "--lr", "{lr}", "--seed", "{seed}", "--out", "{dir}/a b"]
FIGURES = {
    *("history", "history_by_cost", "curves", "lr_basin"),
    *("pareto", "budget_shares", "time_spent", "timeline"),
}
SCRIPT = "from lrsearch import run\n\n\ndef train(run):\n    run.report(val_loss=1.0)\n"


def command_spec(**changes):
    fields = {
        "name": "wlm",
        "command": COMMAND,
        "report": {"val_loss": r"valid loss +(\S+)"},
        "epochs": 4,
        "budget": {"trials": 12},
        "baseline": {"optimizer": {"lr": 0.5}},
    }
    return StudySpec.from_dict({**fields, **changes})


def train_spec(**changes):
    fields = {
        "name": "own",
        "train": "my_train.py:train",
        "epochs": 4,
        "budget": {"trials": 12},
        "space": {
            "optimizers": {"adamw": {"lr": {"choices": [0.1, 0.2]}}},
            "schedules": ["cosine"],
        },
        "portfolio": "none",
    }
    return StudySpec.from_dict({**fields, **changes})


def make_study(database, spec, folder):
    (folder / "my_train.py").write_text(SCRIPT)
    if spec.program == "command":
        loaded = load_command(spec, folder / "study.yaml")
    else:
        loaded = load_script(spec.reference, folder)
    found = create_study(
        database, spec, loaded, steps_per_epoch=1, exist_ok=False, resume="begins anew"
    )
    return found[0]


def finish(search, state, losses, *, reason=None, **row):
    assignment = ask(search)
    rows = [
        curve_row(i + 1, val_loss=loss, step=i, epoch=float(i), **row)
        for i, loss in enumerate(losses)
    ]
    with search.database.begin() as connection:
        curves.add(connection, assignment.claim, rows)
    assert search.tell(assignment, ended(state, reason=reason, epochs=rows[-1].epoch))
    return assignment


@pytest.fixture
def database(sqlite_url):
    with opened(sqlite_url) as database:
        yield database


@pytest.fixture
def search(database, tmp_path):
    """A study of a command; its best trial is the second, with lr 0.5 in the first."""
    search = make_study(database, command_spec(), tmp_path)
    finish(search, TrialState.COMPLETE, [3.0, 2.0, 1.0])
    ended_early = "ended by the command at epoch 2 of 4"
    finish(search, TrialState.COMPLETE, [3.0, 2.0, 0.5], reason=ended_early)
    finish(search, TrialState.PRUNED, [3.0])
    finish(search, TrialState.DIVERGED, [9.0], reason="val_loss is inf")
    return search


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_the_best_files_of_a_command_train_it_once_more(search, tmp_path):
    report, folder = write_files(search, None)
    best = report.best.parsed
    assert best.optimizer_name == "script"
    assert Recipe.load(folder / "best.yaml") == best
    assert Recipe.load(folder / "best.json") == best
    assert not (folder / "best.py").exists()
    # The script echoes its arguments, as the shell gives them to it.
    (tmp_path / "main.py").write_text("import json, sys\nprint(json.dumps(sys.argv[1:]))\n")
    said = subprocess.run(["sh", folder / "best.sh"], capture_output=True, text=True, check=True)
    words = json.loads(said.stdout)
    assert words == ["--lr", repr(best.lr), "--seed", "0", "--out", "wlm-report/best/a b"]
    assert (tmp_path / "wlm-report" / "best").is_dir()  # as `{dir}` was for each trial


def test_page_and_markdown_say_how_the_command_is_run(search):
    report, folder = write_files(search, None)
    line = command_line(report.spec, report.best.parsed)
    assert f"# your script with this recipe\n{line}\n" in (folder / "report.md").read_text()
    page = (folder / "report.html").read_text()
    assert "recipe.build" not in page
    assert "ended by the command at epoch 2 of 4" in page
    assert "Resume after an interruption: begins anew." in page
    pictures = {path.stem for path in folder.glob("*.svg")}
    assert pictures == FIGURES  # the learning rates of the script itself are unknown


def test_the_answer_names_the_command_and_its_recipe(search, tmp_path):
    report = load_report(search.database, "wlm", with_curves=True)
    text = answer_text(report, folder=tmp_path / "wlm-report", wall_seconds=1.0)
    lines = text.splitlines()
    best = report.best.parsed
    assert f"Best recipe so far: {best.title()}" in lines
    command = command_line(report.spec, best, tmp_path / "wlm-report")
    assert f"Train it: {command}" in lines
    assert "Export: lrsearch export wlm --format yaml|json|shell" in lines
    assert "plain PyTorch" not in text
    assert "resume: begins anew" in study_text(report, verbose=True).splitlines()


def test_json_has_the_command_and_how_trials_go_on(search):
    document = reviewed_document(load_report(search.database, "wlm", with_curves=True))
    report = load_report(search.database, "wlm")
    assert document["command"] == command_line(report.spec, report.best.parsed)
    assert document["resume"] == "begins anew"
    json.dumps(document, allow_nan=False)


def test_what_is_known_of_resuming_is_shown(search):
    report = replace(load_report(search.database, "wlm"), resume="approximate (ema)")
    assert "resume: approximate (ema)" in study_text(report, verbose=True).splitlines()


def test_there_is_no_torch_code_of_a_command(search):
    with pytest.raises(SpecError, match="writes a training loop, and the study's is its script's"):
        export_recipe(search, trial=None, form="torch")
    assert export_recipe(search, trial=0, form="command").text.splitlines()[:2] == [
        "#!/bin/sh",
        "# Study wlm, trial 0: val_loss 1",
    ]


def test_every_picture_of_a_command_can_be_drawn(search):
    report = load_report(search.database, "wlm", with_curves=True)
    drawn = [charts.draw(figure) for figure in figures(report)]
    assert {drawing.figure.name for drawing in drawn} == FIGURES
    assert all(drawing.png().startswith(b"\x89PNG") for drawing in drawn)


def test_a_training_script_is_run_with_the_recipes_file(database, tmp_path):
    search = make_study(database, train_spec(launch="torchrun --nproc_per_node 2"), tmp_path)
    # Validated before the first step, as some loops do.
    finish(search, TrialState.COMPLETE, [3.0])
    finish(search, TrialState.COMPLETE, [3.0, 2.0])
    report, folder = write_files(search, None)
    assert (folder / "best.sh").read_text().splitlines()[-1] == (
        "torchrun --nproc_per_node 2 -m lrsearch.own_loop.alone my_train.py:train "
        "--recipe own-report/best.yaml"
    )
    assert (folder / "schedules.svg").exists()
    assert "lrsearch export own --format yaml --out best.yaml" in (folder / "report.md").read_text()
    assert "| precision |" not in (folder / "report.md").read_text()
    plain = train_spec(train="my_train.py")
    assert command_line(plain, report.best.parsed) == "python my_train.py --recipe best.yaml"
    function = train_spec(train="my_train.py:train")
    assert command_line(function, report.best.parsed) == (
        "python -m lrsearch.own_loop.alone my_train.py:train --recipe best.yaml"
    )


def test_a_study_with_a_task_has_no_command(search):
    spec = StudySpec.from_dict(
        {"name": "t", "task": "t.py:task", "epochs": 1, "budget": {"trials": 1}}
    )
    assert command_line(spec, Recipe.from_dict({"optimizer": {"name": "sgd", "lr": 1}})) is None


def test_the_plan_names_what_is_searched():
    space = {"optimizers": {"script": {"momentum": [0.8, 0.9]}}, "params": {"width": [8, 16]}}
    spec = command_spec(
        command=[*COMMAND, "{momentum}", "{width}"],
        space=space,
        baseline="none",
    )
    text = plan_text(spec, cost_plan(spec, 1))
    assert text.splitlines()[0] == "study wlm: 12 trials of 4 epochs over lr, momentum x width"
    assert "no range test (a command has none)" in text


def test_a_command_of_unknown_length_is_counted_in_whole_runs(database, tmp_path):
    spec = command_spec(epochs=None, budget={"runs": 10})
    plan = plan_text(spec, cost_plan(spec, 1)).splitlines()
    assert plan[0].startswith("study wlm: about ")
    assert plan[0].endswith(" trials of unknown length over lr")
    assert plan[1].endswith("never more than 10 runs together")
    assert "epoch" not in "".join(plan)
    search = make_study(database, spec, tmp_path)
    finish(search, TrialState.COMPLETE, [3.0, 2.0])
    report, folder = write_files(search, None)
    assert "budget: runs 1 of 10\n" in study_text(report)
    assert "Cost in runs: search 1 of at most " in study_text(report)
    assert "| part | runs trained |" in (folder / "report.md").read_text()


def test_a_scripts_optimizer_has_no_range_test():
    spec = command_spec()
    assert range_plan(spec, 100).tests == ()
    with pytest.raises(SpecError, match="a script's own optimizer has no range test"):
        ramp_plan(spec, "script")


def test_no_range_is_unusual_for_an_optimizer_that_nobody_knows():
    lr = {"low": 0.1, "high": 100.0, "log": True}
    spec = command_spec(space={"optimizers": {"script": {"lr": lr}}})
    assert lint(spec, Scale(steps_per_epoch=1, batch_size=None)) == []
    linear = command_spec(space={"optimizers": {"script": {"lr": {**lr, "log": False}}}})
    [line] = lint(linear, Scale(steps_per_epoch=1, batch_size=None))
    assert line.startswith("space.optimizers.script.lr is not on a log scale")


def test_a_plateau_of_the_scripts_own_is_not_looked_at():
    spec = command_spec(
        command=[*COMMAND, "{schedule}"], space={"schedules": ["plateau"]}, baseline="none"
    )
    assert lint(spec, Scale(steps_per_epoch=1, batch_size=None)) == []


def test_schedules_of_a_script_are_not_drawn(tmp_path):
    recipes = sample(command_spec(), 3, None)
    with pytest.raises(SpecError, match="the schedule is the script's own"):
        save_preview(recipes, 1, tmp_path / "preview.png")


def test_a_command_without_a_seed_is_not_confirmed():
    command = ["python", "main.py", "{lr}"]
    assert command_spec(command=command).confirm is None
    with pytest.raises(SpecError, match=r"confirm: the command has no {seed}"):
        command_spec(command=command, confirm="auto")


def test_a_baseline_that_the_command_cannot_be_told_is_refused():
    recipe = {"optimizer": {"lr": 0.1, "momentum": 0.9}}
    with pytest.raises(SpecError, match=r"baseline: optimizer.momentum is set, but the command"):
        command_spec(baseline=recipe)
    with pytest.raises(SpecError, match=r"enqueue\[0\]: optimizer.momentum is set"):
        command_spec(enqueue=[recipe])


def test_output_that_is_elsewhere_is_said_with_the_worker_that_wrote_it(search, tmp_path):
    folder = tmp_path / "lrsearch-trials" / "wlm" / "trial-1"
    with pytest.raises(StudyError) as refused:
        next(chunks(search, 1, None, follow=False))
    assert str(refused.value) == (
        f"trial 1 has no output in {folder}: host host ran it (worker host:1:1); look there, in "
        f"the folder that the worker was started in"
    )
    with pytest.raises(StudyError, match="trial 1 has no confirmation run with seed 5: it has non"):
        next(chunks(search, 1, 5, follow=False))


def test_a_command_that_counts_steps_is_told_of_steps(database, tmp_path):
    report = {"val_loss": r"step (?P<step>\d+): val loss (\S+)"}
    spec = command_spec(epochs=None, steps=80, report=report, budget={"runs": 4})
    plan = plan_text(spec, cost_plan(spec, 1), seconds_per_epoch=0.5)
    assert " trials of 80 steps over " in plan
    assert "never more than 320 steps together, those of 4 full runs" in plan
    assert "time: 0.5 s a step on one worker" in plan
    study = make_study(database, spec, tmp_path)
    finish(study, TrialState.COMPLETE, [3.0, 2.0, 1.0])
    text = study_text(load_report(study.database, spec.name))
    assert "Cost in steps: " in text
    assert re.search(r"^budget: runs [\d.]+ of 4, steps [\d.]+ of 320$", text, re.MULTILINE)
    assert "epoch" not in plan + text
