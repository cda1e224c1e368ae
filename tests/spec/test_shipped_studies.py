"""A word on the command line: a study file, or the name of one that comes with lrsearch."""

from contextlib import chdir
from pathlib import Path

import pytest
from command import run_command

from lrsearch.errors import SpecError
from lrsearch.spec import shipped_studies
from lrsearch.task.find import find_task, load_task

STUDIES = Path(__file__).parents[2] / "studies"


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path):
    with chdir(tmp_path):
        yield


def test_each_study_of_the_repository_has_a_name():
    assert shipped_studies.names() == sorted(path.stem for path in STUDIES.glob("*.yaml"))
    for name in shipped_studies.names():
        assert shipped_studies.named(name).resolve() == STUDIES / f"{name}.yaml"


def test_a_file_that_is_there_wins():
    Path("digits").write_text("mine")
    assert shipped_studies.named("digits") == Path("digits")


def test_a_path_stays_as_it_is_whether_or_not_it_is_there():
    for word in ("mine.yaml", "folder/digits", "digits.yaml"):
        assert shipped_studies.named(word) == Path(word)
        shipped_studies.check_there(Path(word))


@pytest.mark.parametrize(
    ("word", "line"),
    [
        ("digts", "did you mean 'digits'?"),
        ("resnet", "accepted: diabetes, digits, fashion_mnist"),
        ("folder", "folder is a folder, but a study FILE is needed, such as folder/study.yaml"),
        ("mine", "mine: no such study file; write mine.yaml"),
        ("./mine", "mine: no such study file; write mine.yaml"),
    ],
)
def test_a_word_that_is_neither_is_an_error_that_says_what_to_write(word, line):
    Path("folder").mkdir()
    Path("mine.yaml").write_text("")
    with pytest.raises(SpecError) as error:
        shipped_studies.check_there(shipped_studies.named(word))
    assert line in str(error.value)


def test_shipped_files_are_looked_for_last():
    folders = list(shipped_studies.folders(Path("given")))
    assert folders == [Path("given"), Path(), Path("studies"), shipped_studies.SHIPPED]
    assert list(shipped_studies.folders()) == folders[1:]


def test_a_worker_finds_a_shipped_task_by_the_hash_of_its_code():
    code = load_task("digits.py:task", STUDIES).code
    Path("digits.py").write_text("# a file of the user's that is called alike")
    found = find_task("digits.py:task", code, shipped_studies.folders(), strict=True)
    assert found.source == STUDIES / "digits.py"


def test_a_study_created_by_name_needs_no_folder_for_its_workers():
    ended = run_command("study", "create", "diabetes", folder=Path.cwd())
    assert ended.code == 0, ended.err
    assert ended.out.splitlines()[-1] == "  lrsearch worker diabetes"
