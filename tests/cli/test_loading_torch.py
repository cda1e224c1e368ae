"""Commands that train say first that they load PyTorch, which takes seconds; and load nothing else
that takes long before they have said so."""

import os
import subprocess
import sys

import pytest

LOADING = "loading PyTorch ..."
IMPORTED = "imported"
#: Packages that take half a second of CPU and more; modules of these names stand in their place.
SLOW = ("torch", "optuna", "scipy", "matplotlib")
STAND_IN = f"import os, sys\nsys.stderr.write('{IMPORTED} ' + __name__ + chr(10))\nos._exit(3)\n"


@pytest.fixture
def lrsearch(folder, tmp_path):
    """Runs a command that ends with code 3 where it imports what is slow."""
    stand_ins = tmp_path / "stand-ins"
    stand_ins.mkdir()
    for name in SLOW:
        (stand_ins / f"{name}.py").write_text(STAND_IN)
    path = os.pathsep.join([str(stand_ins), os.environ.get("PYTHONPATH", "")])

    def run(*words, **environment):
        return subprocess.run(
            [sys.executable, "-m", "lrsearch", *words],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": path, **environment},
            capture_output=True,
            text=True,
        )

    return run


@pytest.mark.parametrize(
    "words",
    [
        "run tiny.yaml",
        "check tiny.yaml",
        "range-test tiny.yaml",
        "study create tiny.yaml",
        "worker tiny",
        "confirm tiny",
    ],
)
def test_a_command_says_that_it_loads_pytorch_before_it_does(words, lrsearch):
    ended = lrsearch(*words.split())
    assert ended.returncode == 3
    said, first = ended.stderr.splitlines()
    assert said == LOADING
    assert first.startswith(IMPORTED)


def test_a_worker_that_another_process_started_does_not_say_it_again(lrsearch):
    ended = lrsearch("worker", "tiny", LRSEARCH_PARENT=str(os.getpid()))
    assert ended.returncode == 3
    assert LOADING not in ended.stderr


def test_a_mistake_in_the_file_is_told_without_pytorch(lrsearch, folder):
    with (folder / "tiny.yaml").open("a") as file:
        file.write("horizon: 3\n")
    ended = lrsearch("run", "tiny.yaml")
    assert ended.returncode == 1
    [line] = ended.stderr.splitlines()
    assert line.startswith("Error: tiny.yaml: ")
    assert "horizon" in line
