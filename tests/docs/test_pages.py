"""Every block of code in README and docs does what the page says, in the order of the page.

Studies are made short: two epochs for each run, four trials or two. What they say is checked as
written.
"""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from contextlib import chdir
from itertools import pairwise
from pathlib import Path

import pytest
import yaml
from command import run_here
from pages import PAGES, ROOT, commands, inline_calls, parse, steps

from lrsearch.preflight.study_file import check_spec, read_study_file
from lrsearch.recipe.recipe import Recipe
from lrsearch.spec.study_spec import StudySpec

EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
#: What a fragment of a study file is completed with.
STUDY = {"name": "fragment", "budget": {"trials": 3}}
#: What a study file trains; a fragment that names none is completed with a task.
PROGRAMS = {"task", "train", "command"}
#: Commands on the pages begin with `python`: the one that runs the tests.
PATH = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
#: Studies that a page finds finished: the file, and the tutorial's or the shipped task.
PREPARED = {"mine": "mine.yaml", "digits": "studies/digits.yaml"}
#: A file of this repository in a sentence.
FILE = re.compile(r"`((?:lrsearch|benchmarks|studies|tests|docs)/[\w./]*)`")
named = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
#: Pages whose blocks start a dozen interpreters with torch: `-m slow` runs them, and in every run
#: they are read. What they show is done by tests/acceptance/test_tuned_scripts.py and tests/api.
LONG = {ROOT / "docs/howto/command.md", ROOT / "docs/howto/notebook.md"}


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


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """Folders with a finished study each, made when one is first asked for."""
    made = {}

    def make(name):
        if name not in made:
            folder = made[name] = tmp_path_factory.mktemp(name)
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
        return made[name]

    return make


class Reader:
    """Someone who follows a page step by step, in a folder of their own."""

    def __init__(self, folder, prepared):
        self.folder, self.prepared = folder, prepared
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
            shutil.copytree(self.prepared(step.text), self.folder)
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
            known = ("LRSEARCH_STORAGE", "LRSEARCH_READ_STORAGE", "OMP_NUM_THREADS")
            assert variable.partition("=")[0] in known
        case _:
            raise AssertionError(f"nothing checks the command {' '.join(words)}")


@pytest.fixture
def _own_imports(monkeypatch):
    """A page's `import my_task` finds its own folder's, and leaves nothing behind."""
    monkeypatch.setenv("PATH", PATH)
    before = set(sys.modules)
    monkeypatch.syspath_prepend("")
    yield
    for name in set(sys.modules) - before:
        if name.partition(".")[0] in ("my_task", "best", "studies"):
            del sys.modules[name]


@pytest.mark.parametrize(
    "page",
    [pytest.param(page, marks=pytest.mark.slow if page in LONG else ()) for page in PAGES],
    ids=lambda page: str(page.relative_to(ROOT)),
)
@pytest.mark.timeout(900)  # a page runs several studies, one after another
@pytest.mark.usefixtures("_own_imports")
def test_every_block_of_a_page_works(page, tmp_path, prepared):
    folder = tmp_path / "reader"
    folder.mkdir()
    reader = Reader(folder, prepared)
    for step in steps(page):
        reader.follow(step)


@pytest.mark.parametrize("page", sorted(LONG), ids=lambda page: page.stem)
def test_the_blocks_of_a_long_page_are_commands_studies_and_code(page):
    for step in steps(page):
        match step.kind:
            case "sh":
                for words in commands(step.text):
                    parse(words)
            case "python":
                compile(step.text, step.place, "exec")
            case "yaml":
                content = yaml.safe_load(step.text)
                fields = {**STUDY, **({} if "steps" in content else {"epochs": 3}), **content}
                StudySpec.from_dict(fields, where=step.place)


@named
def test_every_call_in_the_sentences_of_a_page_is_a_command(page):
    for call in inline_calls(page):
        parse(call.split())


@named
def test_links_of_a_page_lead_to_files_and_headings(page):
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!https?:)([^)\s]+)", text):
        path, _, anchor = target.partition("#")
        file = (page.parent / path) if path else page
        assert file.exists(), target
        assert not anchor or anchor in anchors(file), target


def anchors(page):
    """The link targets of a page: its headings, as code hosting sites and MyST make them."""
    text = page.read_text(encoding="utf-8")
    if included := re.search(r"^```{include} (.*)$", text, re.MULTILINE):
        return anchors(page.parent / included[1])
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_a_file_name_in_the_sentences_is_a_file():
    for page in PAGES:
        for name in re.findall(FILE, page.read_text()):
            assert (ROOT / name).exists(), f"{page}: {name}"
