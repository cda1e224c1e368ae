"""Someone who reads a page and does what its blocks of code say, in a process of their own."""

import atexit
import os
import re
import shutil
import subprocess
import sys
import tomllib
from contextlib import chdir
from itertools import pairwise
from pathlib import Path

import spares
import torch
import warm_supervisors
import yaml
from command import be_on_its_own, in_process, run_here
from pages import PAGES, ROOT, commands, parse, steps

from lrsearch.preflight.study_file import check_spec, read_study_file
from lrsearch.recipe.recipe import Recipe
from lrsearch.spec.study_spec import StudySpec
from lrsearch.training.heap import SETTINGS

EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
#: What a fragment of a study file is completed with.
STUDY = {"name": "fragment", "budget": {"trials": 3}}
#: What a study file trains; a fragment that names none is completed with a task.
PROGRAMS = {"task", "train", "command"}
#: Commands on the pages begin with `python`: the one that runs the tests.
PATH = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
#: Studies that a page finds finished: the file, and the tutorial's or the shipped task.
PREPARED = {"mine": "mine.yaml", "digits": "studies/digits.yaml"}


def shortened(text):
    """The study file with two epochs for a run, and four trials, two where each is a process."""
    content = yaml.safe_load(text)
    length = {} if "steps" in content else {"epochs": 2}
    budget = {"trials": 4 if "task" in content else 2}
    return yaml.safe_dump({**content, **length, "budget": budget}, sort_keys=False)


def few_runs(words):
    """These words of a command, whose `--runs` says 1: two trials, of which each is a process."""
    return ["1" if before == "--runs" else word for before, word in pairwise(["", *words])]


def lrsearch(folder, *words):
    ended = run_here(*words, folder=folder, OMP_NUM_THREADS="1", PATH=PATH)
    assert ended.code == 0, f"{' '.join(words)}: {ended.err}"
    return ended.out + ended.err


def script(folder, *words):
    """What a script of the page prints."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    ended = subprocess.run(
        [sys.executable, *words],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ended.returncode == 0, f"{' '.join(words)}: {ended.stderr}"
    return ended.stdout + ended.stderr


def prepared(name, kept):
    """A folder with a finished study, made below `kept` when it is first asked for."""
    folder = kept / name
    if folder.exists():
        return folder
    folder.mkdir()
    if name == "digits":
        (folder / "studies").mkdir()
        shutil.copy(ROOT / "studies/digits.py", folder / "studies")
        text = (ROOT / "studies/digits.yaml").read_text()
    else:
        page = steps(ROOT / "docs/howto/own-model.md")
        blocks = [step for step in steps(ROOT / "docs/tutorial.md") if step.file]
        (text,) = [step.text for step in blocks if step.file == "mine.yaml"]
        (task,) = [step.text for step in page if step.file == "my_task.py"]
        (folder / "my_task.py").write_text(task)
    (folder / PREPARED[name]).write_text(shortened(text))
    lrsearch(folder, "run", PREPARED[name], "--workers", "1")
    return folder


class Reader:
    """Someone who follows a page step by step, in a folder of their own."""

    def __init__(self, folder, kept):
        self.folder, self.kept = folder, kept
        self.names = {"__name__": "page"}
        self.output = ""

    def follow(self, step):
        try:
            getattr(self, step.kind)(step)
        except Exception as error:
            error.add_note(f"at {step.place}")
            raise

    def setup(self, step):
        if step.text in PREPARED:
            shutil.rmtree(self.folder)
            shutil.copytree(prepared(step.text, self.kept), self.folder)
        else:
            self._execute(step)

    def python(self, step):
        if step.file is None:
            self._execute(step)
        else:
            compile(step.text, step.place, "exec")
            self._write(step.file, step.text)

    def yaml(self, step):
        content = yaml.safe_load(step.text)
        if step.file is None:
            length = {} if "steps" in content else {"epochs": 3}
            program = {} if content.keys() & PROGRAMS else {"task": "task.py:task"}
            StudySpec.from_dict({**STUDY, **program, **length, **content}, where=step.place)
        elif {"hydra", "scheduler", "recipes"} & content.keys():  # Hydra's; what a study reads
            self._write(step.file, step.text)
        elif content.keys() & PROGRAMS:
            self._write(step.file, step.text)
            with chdir(self.folder):
                path = self.folder / step.file
                check_spec(read_study_file(path), path, device="cpu")
            self._write(step.file, shortened(step.text))
        else:
            Recipe.from_dict(content, where=step.place)
            self._write(step.file, step.text)

    def sh(self, step):
        self.output = ""
        for words in commands(step.text):
            if words[0] == "lrsearch":
                parse(words)
                if not step.only_read:
                    self.output += lrsearch(self.folder, *few_runs(words[1:]))
            elif words[0] == "python" and (self.folder / words[1]).is_file():
                if not step.only_read:
                    self.output += script(self.folder, *words[1:])
            else:
                check_foreign(words)

    def text(self, step):
        """Output: each line begins as one of the output of the commands before it does."""
        if not step.only_read:
            for line in step.text.splitlines():
                beginning = re.match(r"[^\d:=]*", line)[0].strip()
                assert beginning in self.output, line

    def toml(self, step):
        assert tomllib.loads(step.text)

    def _write(self, name, text):
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)

    def _execute(self, step):
        code = re.sub(r"\b(trials|runs|epochs)=\d+", r"\1=2", step.text)
        code = re.sub(r"\bworkers=\d+", "workers=1", code).replace('"trials": 40', '"trials": 8')
        code = re.sub(r'"runs": \d+', '"runs": 2', code)
        with chdir(self.folder):
            exec(compile(code, step.place, "exec"), self.names)


def check_foreign(words):
    """Commands of other programs: what they name of ours has to be there."""
    match words:
        case ["pip", "install", *options]:
            for extra in re.findall(r"\w+", "".join(re.findall(r"\[(.*?)\]", " ".join(options)))):
                assert extra in EXTRAS, words
        case ["python", script, *options] if script.startswith("benchmarks/"):
            text = (ROOT / script).read_text(encoding="utf-8")
            sources = [text, *(path.read_text() for path in (ROOT / "benchmarks").glob("*.py"))]
            for option in options:
                if option.startswith("--"):
                    assert any(f'"{option}"' in source for source in sources), (script, option)
        case ["docker", "compose", *rest]:
            services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
            scaled = [word.partition("=")[0] for word in rest if "=" in word]
            assert set(scaled) <= services.keys(), words
        case ["sphinx-build", *rest]:
            assert "docs" in rest
        case ["pre-commit", "install"] | ["mypy"] | ["pytest", *_] | ["ruff", *_]:
            pass
        case ["python", script, *_] if any(
            f"<!-- file: {script} -->" in p.read_text() for p in PAGES
        ):
            pass
        case ["python3", "-m", "venv", _] | [".", "venv/bin/activate"]:
            pass
        case ["export", variable]:
            known = ("LRSEARCH_STORAGE", "LRSEARCH_READ_STORAGE", "OMP_NUM_THREADS", *SETTINGS)
            assert variable.partition("=")[0] in known
        case _:
            raise AssertionError(f"nothing checks the command {' '.join(words)}")


def follow(page, folder, kept):
    """Do what a page says, in a process that has imported torch. What it printed if it failed."""
    said = folder / "out", folder / "err"
    process = in_process(_follow, page, folder / "reader", kept, said)
    process.join()
    if process.exitcode == 0:
        return None
    return "\n".join([f"exit code {process.exitcode}", *(path.read_text() for path in said)])


def _follow(page, folder, kept, said):
    be_on_its_own(said)
    # What a page starts is there already.
    warm_supervisors.keep(2)
    spares.prepare(["lrsearch", "run", "--workers", "1"])
    torch.set_num_threads(1)
    os.environ["PATH"] = PATH
    sys.path.insert(0, "")  # a page's `import my_task` finds its own folder's
    folder.mkdir()
    reader = Reader(folder, kept)
    try:
        for step in steps(page):
            reader.follow(step)
    finally:
        atexit._run_exitfuncs()  # removes temporary folders, as the end of an interpreter does
