"""`search(train=...)`: a function that trials, each a process of its own, can import."""

import functools
import importlib
import subprocess
import sys

import pytest

import lrsearch
from lrsearch.api.train_function import train_reference


@pytest.fixture
def modules(tmp_path, monkeypatch):
    """Write and import modules of a new folder, which is the current one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    made = []

    def make(path, text):
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        name = path.removesuffix(".py").replace("/", ".")
        made.append(name)
        return importlib.import_module(name)

    yield make
    for name in made:
        sys.modules.pop(name, None)


def test_a_function_of_a_file_is_named_by_the_file(modules, tmp_path):
    module = modules("own_train_a.py", "def train(run):\n    pass\n")
    assert train_reference(module.train, tmp_path) == "own_train_a.py:train"


def test_a_function_of_a_package_is_named_relative_to_the_folder(modules, tmp_path):
    modules("own_package_b/__init__.py", "")
    module = modules("own_package_b/loops.py", "def fit(run):\n    pass\n")
    assert train_reference(module.fit, tmp_path) == "own_package_b/loops.py:fit"
    assert train_reference(module.fit, tmp_path / "own_package_b") == "loops.py:fit"


def test_a_name_is_left_as_it_is(tmp_path):
    assert train_reference("my_train.py:train", tmp_path) == "my_train.py:train"


def made_inside():
    def train(run):
        pass

    return train


class Callable:
    def __call__(self, run):
        pass


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (lambda run: None, "is in no module; save it in a file, and give its name"),
        (made_inside(), "train = made_inside.<locals>.train is in no module"),
        (functools.partial(made_inside()), "train is a partial, no function"),
        (Callable(), "train is a Callable, no function"),
        (made_inside, "which is not below task_dir"),
    ],
    ids=["lambda", "inner", "partial", "object", "elsewhere"],
)
def test_what_another_process_cannot_import_is_told_in_one_line(function, said, tmp_path):
    with pytest.raises(lrsearch.SpecError) as raised:
        lrsearch.search(train=function, task_dir=tmp_path, epochs=2, trials=2)
    message = str(raised.value)
    assert said in message
    assert message.startswith("search(): train")
    assert "\n" not in message
    assert list(tmp_path.iterdir()) == []


def test_a_function_of_the_running_program_is_refused_with_what_to_do(tmp_path):
    code = (
        "import lrsearch\n"
        "def my_loop(run): pass\n"
        "try: lrsearch.search(train=my_loop, epochs=2, trials=2)\n"
        "except lrsearch.SpecError as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert done.stdout == (
        "search(): train = my_loop is of this session, which the processes of trials do not see; "
        "save it in a file, and give its name: train='my_train.py:my_loop'\n"
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({}, "none of them is given"),
        (
            {"train": "a.py:train", "command": ["python", "a.py", "{lr}"]},
            "train and command is given",
        ),
        ({"task": "a.py:task", "train": "a.py:train"}, "task and train is given"),
        ({"task": test_a_name_is_left_as_it_is}, "a function; a Task, 'FILE.py:attribute'"),
        ({"task": 3}, "search(): task is a int; a Task, 'FILE.py:attribute'"),
    ],
    ids=["nothing", "train and command", "task and train", "function", "number"],
)
def test_exactly_one_program_is_searched(arguments, said, tmp_path):
    with pytest.raises(lrsearch.SpecError) as raised:
        lrsearch.search(**arguments, task_dir=tmp_path, epochs=2, trials=2)
    assert said in str(raised.value)
    assert str(raised.value).startswith("search()")
