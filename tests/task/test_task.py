"""Finding a study's task, and telling whether its code is the one that the study began with."""

import importlib
import sys

import pytest

from lrsearch.errors import TaskError
from lrsearch.task.code import code_hash, task_code
from lrsearch.task.find import find_task, load_task

TASK = """
import lrsearch

task = lrsearch.Task(model=None, train=None, validation=None, loss=None)


def with_params(batch_size=64, width=8):
    return lrsearch.Task(model=width, train=0, validation=0, loss=0, batch_size=batch_size)
"""


@pytest.fixture(autouse=True)
def _fresh_imports():
    """What a test imports is forgotten, so that the next one may use the same names."""
    modules, path = set(sys.modules), list(sys.path)
    yield
    for name in set(sys.modules) - modules:
        del sys.modules[name]
    sys.path[:] = path
    importlib.invalidate_caches()


def write(folder, files):
    """Files by their names in the folder."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


# What belongs to a task's code

PROJECT = {
    "digits.py": "import helper, package.deep\nfrom other import loss\nfrom package import sibling",
    "helper.py": "import second",
    "second.py": "x = 1",
    "other.py": "loss = 1",
    "package/__init__.py": "",
    "package/sibling.py": "from . import near\nfrom .nearer import x\nfrom .. import above",
    "package/near.py": "",
    "package/nearer.py": "import digits\nx = 1",  # imports may go in a circle
    "package/deep/__init__.py": "def late():\n    import hidden",
    "hidden.py": "",
    "above.py": "",
    "unrelated.py": "x = 1",
    "package/unrelated.py": "",
    "digits.yaml": "name: digits",
}
MEMBERS = [name for name in PROJECT if "unrelated" not in name and name.endswith(".py")]


def test_the_code_is_the_file_and_the_local_modules_it_imports_directly_or_not(tmp_path):
    write(tmp_path, PROJECT)
    assert sorted(task_code(tmp_path / "digits.py", tmp_path)) == sorted(MEMBERS)


@pytest.mark.parametrize("changed", PROJECT)
def test_the_hash_changes_with_the_code_of_the_task_and_nothing_else(tmp_path, changed):
    write(tmp_path, PROJECT)
    before = task_code(tmp_path / "digits.py", tmp_path)
    with (tmp_path / changed).open("a") as file:
        file.write("\n# another line")
    after = task_code(tmp_path / "digits.py", tmp_path)
    assert {name for name in before if before[name] != after[name]} == {changed} & set(MEMBERS)
    assert (code_hash(before) != code_hash(after)) == (changed in MEMBERS)


@pytest.mark.parametrize(
    ("code", "imported"),
    [
        ("import helper", ["helper.py"]),
        ("import helper as h", ["helper.py"]),
        ("from helper import x", ["helper.py"]),
        ("from helper import *", ["helper.py"]),
        ("import package.module", ["package/__init__.py", "package/module.py"]),
        ("from package import module", ["package/__init__.py", "package/module.py"]),
        ("from package.module import x", ["package/__init__.py", "package/module.py"]),
        ("from package import x", ["package/__init__.py"]),
        ("from . import helper", ["helper.py"]),
        ("from .helper import x", ["helper.py"]),
        ("def f():\n    import helper", ["helper.py"]),
        ("try:\n    import helper\nexcept ImportError:\n    pass", ["helper.py"]),
        ("import torch, os.path, no_such_module", []),
        ("text = 'import helper'", []),
    ],
)
def test_every_way_to_import_counts(tmp_path, code, imported):
    files = ("helper.py", "package/__init__.py", "package/module.py")
    write(tmp_path, {"task.py": code, **dict.fromkeys(files, "x = 1")})
    assert sorted(task_code(tmp_path / "task.py", tmp_path)) == sorted(["task.py", *imported])


def test_the_hash_does_not_depend_on_the_folder(tmp_path):
    codes = [
        task_code(write(tmp_path / name, PROJECT) / "digits.py", tmp_path / name) for name in "ab"
    ]
    assert codes[0] == codes[1]


def test_a_renamed_module_is_other_code(tmp_path):
    a = write(tmp_path / "a", {"task.py": "import x", "x.py": ""})
    b = write(tmp_path / "b", {"task.py": "import y", "y.py": ""})
    assert code_hash({"x.py": "1"}) != code_hash({"y.py": "1"})
    assert code_hash(task_code(a / "task.py", a)) != code_hash(task_code(b / "task.py", b))


def test_code_that_does_not_parse_is_refused(tmp_path):
    write(tmp_path, {"task.py": "import helper", "helper.py": "def f(:"})
    with pytest.raises(TaskError, match=r"helper\.py: SyntaxError"):
        task_code(tmp_path / "task.py", tmp_path)


# Loading


def test_a_file_beside_the_study(tmp_path):
    write(tmp_path, {"mine.py": TASK})
    loaded = load_task("mine.py:task", tmp_path)
    assert loaded.source == tmp_path / "mine.py"
    assert loaded.make() is loaded.target
    assert list(loaded.code) == ["mine.py"]


def test_a_file_in_a_folder_below_imports_what_is_beside_it(tmp_path):
    write(tmp_path, {"tasks/mine.py": f"import beside\n{TASK}", "tasks/beside.py": ""})
    loaded = load_task("tasks/mine.py:task", tmp_path)
    assert list(loaded.code) == ["beside.py", "mine.py"]


@pytest.mark.parametrize(
    ("reference", "code"),
    [
        ("package.module:task", ["package/__init__.py", "package/module.py"]),
        ("package:task", ["package/__init__.py", "package/module.py"]),
        ("single:task", ["single.py"]),
    ],
)
def test_an_importable_module(tmp_path, monkeypatch, reference, code):
    files = {
        "package/__init__.py": "from .module import task",
        "package/module.py": TASK,
        "single.py": TASK,
    }
    monkeypatch.syspath_prepend(write(tmp_path, files))
    loaded = load_task(reference, tmp_path / "elsewhere")
    assert loaded.reference == reference
    # `import package.module` runs package/__init__.py first
    assert set(loaded.code) == set(code)


def test_params_go_to_the_function_by_name(tmp_path):
    write(tmp_path, {"mine.py": TASK})
    loaded = load_task("mine.py:with_params", tmp_path)
    assert loaded.make().batch_size == 64
    task = loaded.make({"batch_size": 16, "width": 4})
    assert (task.batch_size, task.model) == (16, 4)


def test_a_task_object_takes_no_params(tmp_path):
    write(tmp_path, {"mine.py": TASK})
    with pytest.raises(TaskError, match=r"mine\.py:task is a Task.*\(width\).*function"):
        load_task("mine.py:task", tmp_path).make({"width": 3})


def test_params_that_the_function_does_not_take_are_named(tmp_path):
    write(tmp_path, {"mine.py": TASK})
    with pytest.raises(TaskError, match=r"with_params raised TypeError.*'depth'"):
        load_task("mine.py:with_params", tmp_path).make({"depth": 3})


def test_two_tasks_with_the_same_file_name_do_not_mix(tmp_path):
    for folder, width in (("a", 1), ("b", 2)):
        write(tmp_path / folder, {"mine.py": TASK.replace("width=8", f"width={width}")})
    a, b = (load_task("mine.py:with_params", tmp_path / folder) for folder in "ab")
    assert (a.make().model, b.make().model) == (1, 2)


# Finding, as a worker does


def studied(folder):
    """The code that a study recorded."""
    return load_task("mine.py:task", folder).code


@pytest.fixture
def places(tmp_path):
    """Folders a, b and c: not there, other code, the study's code."""
    write(tmp_path / "b", {"mine.py": TASK + "# other\n"})
    write(tmp_path / "c", {"mine.py": TASK})
    return [tmp_path / name for name in "abc"]


def test_the_first_folder_with_the_same_code_wins(places, tmp_path):
    write(tmp_path / "d", {"mine.py": TASK})
    code = studied(places[2])
    found = find_task("mine.py:task", code, [*places, tmp_path / "d"], strict=True)
    assert found.source == places[2] / "mine.py"


def test_no_folder_with_the_same_code_is_an_error_that_lists_places_and_hashes(places):
    code = studied(places[2])
    other = code_hash(task_code(places[1] / "mine.py", places[1]))
    with pytest.raises(TaskError) as caught:
        find_task("mine.py:task", code, places[:2], strict=True)
    message = str(caught.value)
    assert code_hash(code)[:12] in message
    assert f"{places[0] / 'mine.py'}: not there" in message
    assert f"{places[1] / 'mine.py'}: {other[:12]}" in message
    assert "--task-dir" in message


def test_other_code_is_not_run_before_it_is_refused(places, tmp_path):
    code = studied(places[2])
    write(places[1], {"mine.py": "raise SystemExit('was run')"})
    with pytest.raises(TaskError, match="no task mine"):
        find_task("mine.py:task", code, places[:2], strict=True)


def test_a_study_that_only_warns_takes_the_first_that_is_there(places):
    code = studied(places[2])
    found = find_task("mine.py:task", code, places, strict=False)
    assert found.source == places[1] / "mine.py"
    assert found.code != code


def test_a_module_that_a_task_imports_counts_when_it_is_looked_for(places):
    write(places[2], {"mine.py": f"import beside\n{TASK}", "beside.py": "x = 1"})
    code = studied(places[2])
    write(places[2], {"beside.py": "x = 2"})
    with pytest.raises(TaskError, match="no task mine"):
        find_task("mine.py:task", code, places, strict=True)


def test_an_installed_module_is_found_without_folders(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(write(tmp_path, {"package/__init__.py": TASK}))
    code = load_task("package:task", tmp_path).code
    assert find_task("package:task", code, [], strict=True).code == code
    with pytest.raises(TaskError, match="package"):
        find_task("package:task", {"package/__init__.py": "other"}, [], strict=True)


def test_of_an_installed_task_only_its_own_package_counts(tmp_path, monkeypatch):
    packages = tmp_path / "site-packages"
    for name, source in (("mine_installed", "import theirs_installed\n"), ("theirs_installed", "")):
        (packages / name).mkdir(parents=True)
        (packages / name / "__init__.py").write_text(source)
    monkeypatch.syspath_prepend(str(packages))
    code = task_code(packages / "mine_installed" / "__init__.py", packages)
    assert list(code) == ["mine_installed/__init__.py"]
