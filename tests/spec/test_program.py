"""What a study trains: task, train or command, and what of its fields each leaves room for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrsearch.catalog.domains import Range
from lrsearch.errors import SpecError, TaskError
from lrsearch.recipe.recipe import Recipe
from lrsearch.spec.command_code import find_command, load_command
from lrsearch.spec.command_line import command_line
from lrsearch.spec.study_spec import StudySpec
from lrsearch.task.script import find_script, load_script

TRAIN = {"name": "own", "train": "train.py:train", "epochs": 8, "budget": {"runs": 8}}
COMMAND = {
    "name": "script",
    "command": ["python", "train.py", "--lr", "{lr}", "--seed", "{seed}"],
    "report": {"val_loss": r"valid loss +(\S+)"},
    "epochs": 8,
    "budget": {"runs": 8},
}


def train_spec(**fields):
    return StudySpec.from_dict({**TRAIN, **fields})


def command_spec(**fields):
    return StudySpec.from_dict({**COMMAND, **fields})


def test_a_train_study_searches_the_default_space():
    spec = train_spec(launch="torchrun --nproc_per_node 2", end={"grace": "1m"})
    assert (spec.program, spec.reference) == ("train", "train.py:train")
    assert spec.launch == ("torchrun", "--nproc_per_node", "2")
    assert spec.end.grace == 60
    assert "adamw" in spec.space.optimizers


def test_a_script_has_arguments_of_its_own():
    assert train_spec(arguments="--dataset mnist").arguments == ("--dataset", "mnist")
    spec = train_spec(arguments=["--dataset", "mnist", "--root", "my data"])
    recipe = Recipe.from_dict({"optimizer": {"name": "sgd", "lr": 0.1}, "epochs": 8})
    assert command_line(spec, recipe) == (
        "python -m lrsearch.own_loop.alone train.py:train --dataset mnist --root 'my data' "
        "--recipe best.yaml"
    )


def test_placeholders_are_the_space_of_a_command():
    spec = command_spec()
    assert spec.program == "command"
    assert list(spec.space.optimizers) == list(spec.space.schedules) == ["script"]
    assert isinstance(spec.space.optimizers["script"]["lr"], Range)
    assert spec.ema is None
    assert spec.range_test == "none"
    assert spec.confirm is not None


def test_a_command_without_a_seed_is_not_confirmed():
    assert command_spec(command=["python", "t.py", "--lr", "{lr}"]).confirm is None


def test_a_command_may_leave_its_length_open():
    spec = StudySpec.from_dict({key: value for key, value in COMMAND.items() if key != "epochs"})
    assert not spec.knows_length
    assert spec.horizon_epochs(1) == 1.0


@pytest.mark.parametrize("content", [TRAIN, COMMAND], ids=["train", "command"])
def test_what_is_stored_is_the_same_study(content):
    spec = StudySpec.from_dict(content)
    again = StudySpec.from_stored(spec.to_dict())
    assert again == spec
    assert again.hash() == spec.hash()


@pytest.mark.parametrize(
    ("content", "changes", "line"),
    [
        (TRAIN, {"task": "a.py:t"}, "give one of task, train and command; task and train is given"),
        (TRAIN, {"precision": "bf16"}, "precision is of task: the script has its own"),
        (TRAIN, {"accumulate": 2}, "accumulate is of task"),
        (TRAIN, {"clip_norm": 1.0}, "clip_norm is of task"),
        (TRAIN, {"validate_every": "epoch"}, "validate_every is of task"),
        (TRAIN, {"objective": "calibrated_loss"}, "objective = 'calibrated_loss' needs a task"),
        (TRAIN, {"resume_args": ["--resume"]}, "resume_args is of a command"),
        (TRAIN, {"space": {"optimizers": {"script": {}}}}, "optimizer 'script' is what a command"),
        (COMMAND, {"launch": "torchrun"}, "launch is of train"),
        (COMMAND, {"arguments": "--dataset mnist"}, "arguments is of train"),
        (COMMAND, {"report": {}}, "report = {}, but a mapping is needed"),
        (COMMAND, {"report": {"loss": r"(\S+)"}}, "report has no pattern for the objective"),
        (COMMAND, {"checkpoints": {"keep_weights": True}}, "checkpoints.keep_weights is of task"),
        (COMMAND, {"range_test": "auto"}, "range_test is of task: a command has no range test"),
        (COMMAND, {"command": "python t.py --lr {lr} | tee log"}, "command"),
        (COMMAND, {"command": ["python", "t.py", "--lr", "{lr"]}, "command"),
        (
            COMMAND,
            {"command": ["python", "t.py", "--lr", "{lr}"], "confirm": "auto"},
            "confirm: the command has no {seed}, so fresh seeds do not reach it",
        ),
        (
            COMMAND,
            {"space": {"optimizers": {"script": {"lr": 0.1, "momentum": {"choices": [0.5, 0.9]}}}}},
            "momentum",
        ),
    ],
)
def test_what_contradicts_the_program_is_one_line(content, changes, line):
    with pytest.raises(SpecError) as error:
        StudySpec.from_dict({**content, **changes})
    assert line in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("content", [TRAIN, COMMAND], ids=["train", "command"])
def test_how_a_process_is_ended_may_change(content):
    spec, changed = (
        StudySpec.from_dict({**content, "end": {"grace": seconds}}) for seconds in (1, 20)
    )
    assert spec.differences(changed) == []
    assert spec.hash() == changed.hash()


@given(st.sampled_from(["--batch", "--width", "--clip"]))
def test_another_command_is_another_study(word):
    other = command_spec(command=[*COMMAND["command"], word, "3"])
    assert command_spec().hash() != other.hash()
    assert command_spec().obstacles(other) != []


def written(folder, spec):
    import yaml

    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump({**COMMAND, **spec}))
    return path


def test_a_command_is_taken_from_a_study_file_that_is_here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.py").write_text("print(1)\n")
    (tmp_path / "broken.yaml").write_text("a: [")
    path = written(tmp_path, {"name": "another-name"})
    spec = command_spec()
    code = load_command(StudySpec.load(path), path).code
    assert set(code) == {"command", "train.py"}
    assert find_command(spec, code, [tmp_path / "no", tmp_path], strict=True).source == path


def test_a_command_that_no_file_here_has_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    written(tmp_path, {"command": ["python", "other.py", "--lr", "{lr}", "--seed", "{seed}"]})
    spec = command_spec()
    code = load_command(spec, tmp_path).code
    with pytest.raises(Exception, match="a command is not taken from the database"):
        find_command(spec, code, [tmp_path], strict=True)


def test_a_script_that_has_changed_is_refused_unless_the_study_allows_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.py").write_text("print(1)\n")
    path = written(tmp_path, {})
    spec = command_spec()
    code = load_command(spec, path).code
    (tmp_path / "train.py").write_text("print(2)\n")
    with pytest.raises(Exception, match="has another code here than the study recorded"):
        find_command(spec, code, [tmp_path], strict=True)
    assert find_command(spec, code, [tmp_path], strict=False).source == path


def test_what_a_command_goes_on_with_may_be_any_words_with_what_it_is_told():
    words = ["resume={dir}/last.pt", "lr={lr}"]
    assert command_spec(resume_args=words).resume_args == tuple(words)
    with pytest.raises(SpecError, match=r"resume_args: \{out_dir\} has no value.*mean \{dir\}"):
        command_spec(resume_args=["--resume", "{out_dir}/last.pt"])


def test_a_command_is_told_the_folder_that_its_metrics_are_in():
    report = {"csv": "{dir}/metrics.csv"}
    with pytest.raises(SpecError, match=r"report\.csv = .* but the command has no \{dir\}"):
        command_spec(report=report)
    told = [*COMMAND["command"], "--out={dir}"]
    assert command_spec(report=report, command=told).report == report


def test_fields_of_other_programs_may_be_off():
    off = ("launch", "arguments", "command", "report", "names", "resume_args")
    task = {"name": "a", "task": "a.py:task", "epochs": 1, "budget": {"runs": 1}}
    spec = StudySpec.from_dict({**task, "train": "none", **dict.fromkeys(off, "none")})
    assert spec == StudySpec.from_dict(task)


@pytest.mark.parametrize(
    ("source", "reference", "said"),
    [
        ("def train(run):\n    pass\n", "t.py:trian", "has no 'trian'; did you mean 'train'?"),
        ("def train(model):\n    pass\n", "t.py:train", "t.py does not use lrsearch"),
        ("print(1)\n", "t.py", "t.py does not use lrsearch"),
        ("print(1)\n", "../t.py", "leads elsewhere"),
        ("print(1)\n", "t", "FILE.py:function, or FILE.py for a whole script"),
        ("def train(run:\n", "t.py:train", "t.py: SyntaxError"),
        (None, "t.py:train", "t.py does not exist"),
    ],
)
def test_a_script_that_cannot_be_one_is_refused_in_one_line(tmp_path, source, reference, said):
    if source is not None:
        (tmp_path / "t.py").write_text(source)
    with pytest.raises(TaskError) as error:
        load_script(reference, tmp_path)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_a_function_that_takes_run_is_a_script_and_is_found_by_its_hash(tmp_path):
    (tmp_path / "t.py").write_text("def train(run):\n    pass\n")
    code = load_script("t.py:train", tmp_path).code
    found = find_script("t.py:train", code, [tmp_path / "no", tmp_path], strict=True)
    assert found.source == tmp_path / "t.py"
    (tmp_path / "t.py").write_text("def train(run):\n    return 1\n")
    with pytest.raises(TaskError, match=r"no script t\.py:train with the study's code"):
        find_script("t.py:train", code, [tmp_path], strict=True)
