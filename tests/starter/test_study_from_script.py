"""Study files that are written for a script, and the lines that have to change in it."""

import ast
from pathlib import Path

import pytest
import scripts
import yaml

from lrsearch.errors import SpecError
from lrsearch.spec.study_spec import StudySpec
from lrsearch.starter.command_study import command_study
from lrsearch.starter.example import example
from lrsearch.starter.look import look_at
from lrsearch.starter.new_files import name_of_script, study_name, write_new
from lrsearch.starter.ranges import lr_range, written
from lrsearch.starter.source import Source
from lrsearch.starter.train_study import train_study

STUDY = Path("study.yaml")


def source(text, name="main.py"):
    return Source(path=Path(name), text=text, tree=ast.parse(text))


def command(text, *given):
    """The study file's fields, its text, and what is told about it."""
    made = command_study(look_at(source(text), given), STUDY)
    return yaml.safe_load(made.text), made.text, made.lines


def train(text):
    found = source(text)
    made = train_study(found, look_at(found), STUDY)
    return yaml.safe_load(made.text), made.text, made.lines


WITH_RATE = {
    name: text
    for name, text in vars(scripts).items()
    if name.isupper() and name not in ("AUTOENCODER", "HYDRA")
}


@pytest.mark.parametrize("name", WITH_RATE)
def test_every_study_of_a_command_is_one_that_lrsearch_reads(name):
    content, text, _ = command(WITH_RATE[name])
    spec = StudySpec.from_dict(content)
    assert spec.program == "command"
    assert "{lr}" in " ".join(spec.command)
    assert max(map(len, text.splitlines())) < 200


def test_a_command_gets_what_the_script_has_arguments_for():
    content, text, _ = command(scripts.WORDS, "--cuda")
    assert content["command"] == [
        *("python", "-u", "main.py", "--cuda", "--lr", "{lr}", "--seed", "{seed}"),
        *("--epochs", "{epochs}", "--save", "{dir}/model.pt"),
    ]
    assert content["report"] == {"val_loss": r"valid loss +(\S+)"}
    assert content["epochs"] == 40
    assert content["space"]["optimizers"]["script"]["lr"] == {"low": 0.7, "high": 600, "log": True}
    assert content["baseline"]["optimizer"] == {"name": "script", "lr": 20}
    assert "confirm" not in content
    assert "--batch_size {batch}" in text


def test_a_script_that_counts_steps_is_told_steps_and_read_by_them():
    content, *_ = command(scripts.TRANSFORMER)
    assert content["command"][3:] == [
        *("--learning_rate={lr}", "--weight_decay={weight_decay}", "--max_iters={steps}"),
        *("--out_dir={dir}", "--lr_decay_iters={steps}"),
    ]
    assert content["steps"] == 5000
    assert "epochs" not in content
    assert content["report"]["val_loss"].startswith(r"step (?P<step>\d+)")
    assert content["confirm"] == "none"  # it takes no seed
    assert content["space"]["optimizers"]["script"]["weight_decay"]["log"] is True


def test_what_was_not_found_is_said_in_the_file_and_on_the_screen():
    _, text, lines = command("parser.add_argument('--lr', default=0.1)")
    assert "WRITE YOURS" in text
    assert any(line.startswith("metric: not found") for line in lines)


def test_a_guess_and_a_test_set_are_said():
    assert "That is a guess" in command(scripts.PICTURES)[1]
    assert "test data" in command(scripts.DIGITS)[1]
    assert "That is a guess" not in command(scripts.WORDS)[1]


def test_what_the_script_needs_besides_is_said_until_it_is_given():
    missing = "The script needs --dataset too: ADD IT, with its value."
    assert missing in command(scripts.PICTURES)[2]
    assert missing not in command(scripts.PICTURES, "--dataset", "cifar10")[2]
    assert missing not in command(scripts.PICTURES, "--dataset=cifar10")[2]


def test_a_seed_among_the_words_of_the_user_is_one_for_the_confirmation():
    text = "p.add_argument('--lr')\np.add_argument('--epochs', default=3)"
    assert command(text)[0]["confirm"] == "none"
    assert "confirm" not in command(text, "config.py", "--rng={seed}")[0]


def test_a_file_that_all_trials_would_write_is_said():
    line = "writes 'digits.pt': trials that run at once overwrite each other's file."
    assert any(line in told for told in command(scripts.DIGITS)[2])


def test_an_argument_to_go_on_from_a_file_is_proposed():
    text = "p.add_argument('--lr')\np.add_argument('--resume', default='')"
    assert '#resume_args: [--resume, "{dir}/last.pt"]' in command(text)[1]


def test_a_loop_with_its_rate_in_the_code_becomes_a_train_study():
    content, _, lines = train(scripts.AUTOENCODER)
    assert StudySpec.from_dict(content).program == "train"
    assert content["train"] == "main.py"
    assert content["epochs"] == 10
    assert content["objective"] == {"metric": "test_loss", "direction": "minimize"}
    assert content["baseline"]["optimizer"] == {"name": "adam", "lr": 0.001}
    told = "\n".join(lines)
    for line in (
        "    write below: from lrsearch import run",
        "    write: torch.manual_seed(run.seed)",
        "    write: optimizer = run.build(model, steps_per_epoch=len(train_loader))",
        "    write below: run.report(test_loss=test_loss)",
        "    write: for epoch in run.epochs(): (it counts from 0, your loop from 1: use epoch + 1",
    ):
        assert line in told


def test_schedules_and_written_rates_go_and_a_second_optimizer_has_a_role():
    _, _, lines = train(scripts.DIGITS)
    assert sum("remove:" in line for line in lines) == 2
    _, _, lines = train(scripts.PICTURES)
    assert any(
        line.endswith('run.build(netG, steps_per_epoch=len(dataloader), role="optimizerG")')
        for line in lines
    )
    text = "for epoch in range(3):\n    for group in opt.param_groups:\n        group['lr'] = 0.1"
    _, _, lines = train(text)
    assert any("remove: the recipe's schedule sets the learning rate" in line for line in lines)


def test_the_numbers_of_the_lines_are_those_of_the_script():
    text = scripts.AUTOENCODER
    _, _, lines = train(text)
    shown = [line.strip() for line in lines if line.startswith("  line ")]
    assert len(shown) >= 5
    for line in shown:
        number, _, content = line.removeprefix("line ").partition(": ")
        assert text.splitlines()[int(number) - 1].strip().startswith(content.removesuffix(" ..."))


@pytest.mark.parametrize(
    ("default", "low", "high"),
    [(20, 0.7, 600), (1e-3, 3e-5, 0.03), (0.1, 0.003, 3.0), (None, 1e-5, 1.0), (0, 1e-5, 1.0)],
)
def test_the_range_lies_around_the_scripts_own_rate(default, low, high):
    assert lr_range(default) == (low, high)


@pytest.mark.parametrize("value", [1e-5, 3e-5, 0.0006, 0.003, 0.5, 1.0, 20.0, 600.0, 1.5e-7, 0.0])
def test_a_number_is_written_so_that_yaml_reads_it_back(value):
    content, *_ = command(f"p.add_argument('--lr', default={value!r})")
    assert float(yaml.safe_load(written(value))) == value
    if value:
        assert StudySpec.from_dict(content).baseline["optimizer"]["lr"] == value


@pytest.mark.parametrize("command", [True, False])
def test_the_example_is_a_study_that_lrsearch_reads(command, tmp_path):
    files = example(tmp_path / "my study.yaml", command=command)
    write_new(files)
    spec = StudySpec.load(tmp_path / "my study.yaml")
    assert spec.name == study_name(tmp_path.name)
    assert all(path.read_text() == text for path, text in files.items())


def test_no_file_is_written_where_one_of_them_is_there(tmp_path):
    (tmp_path / "b").write_text("mine")
    with pytest.raises(SpecError, match="init overwrites nothing"):
        write_new({tmp_path / "a": "new", tmp_path / "b": "new"})
    assert not (tmp_path / "a").exists()
    assert (tmp_path / "b").read_text() == "mine"
    (tmp_path / "link").symlink_to(tmp_path / "nothing")
    with pytest.raises(SpecError, match="is there already"):
        write_new({tmp_path / "link": "new"})
    with pytest.raises(SpecError, match="does not exist; make it first"):
        write_new({tmp_path / "none/a": "new"})


@pytest.mark.parametrize(
    ("word", "name"), [("my model", "my-model"), ("_x", "x"), ("ü", "study"), ("a.b", "a.b")]
)
def test_a_name_has_only_what_a_study_accepts(word, name):
    assert study_name(word) == name


def test_a_study_is_named_after_its_script_or_the_folder_of_one_called_as_any_is():
    assert name_of_script(Path("/models/words/main.py")) == "words"
    assert name_of_script(Path("/models/words/vae.py")) == "vae"
