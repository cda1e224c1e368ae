"""A stored study is read without Optuna, torch and scipy's statistics."""

import subprocess
import sys

import pytest
from tiny_studies import make_study, opened

from lrsearch.errors import StudyError
from lrsearch.study.prepare_database import prepare
from lrsearch.study.stored_study import StoredStudy

HEAVY = ("optuna", "torch", "scipy.stats", "matplotlib")

READ = """
import sys
from lrsearch.report.load import report_of
from lrsearch.study import (
    checkpoint_cleanup, confirmation, enqueue, lost_work, prepare_database, status, trial_commands,
    versions,
)
from lrsearch.study.prepare_database import prepare
from lrsearch.study.stored_study import StoredStudy

database = prepare_database.open_database(sys.argv[1])
study = StoredStudy.open(database, "tiny")
assert not status.is_finished(study)
assert status.reap(study) == []
assert not report_of(study).confirmed
print(*[name for name in sys.argv[2:] if name in sys.modules])
"""


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path}/study.db"


@pytest.fixture
def database(url):
    with opened(url) as database:
        prepare(database)
        yield database


def test_a_study_is_read_without_optuna_and_torch(database, url):
    make_study(database)
    done = subprocess.run(
        [sys.executable, "-c", READ, url, *HEAVY], capture_output=True, text=True, check=False
    )
    assert (done.stdout.strip(), done.stderr, done.returncode) == ("", "", 0)


def test_it_says_what_the_study_is(database):
    made = make_study(database)
    study = StoredStudy.open(database, "tiny")
    assert (study.study_id, study.spec) == (made.study_id, made.spec)
    assert (study.name, study.steps_per_epoch, study.horizon) == ("tiny", 6, 4.0)
    assert (study.code, study.versions) == (made.code, made.versions)
    with database.read() as connection:
        assert study.may_start(connection)


def test_a_name_that_is_not_there_is_answered_with_the_nearest(database):
    make_study(database)
    with pytest.raises(StudyError, match=r"no study 'tyny' in .*did you mean 'tiny'"):
        StoredStudy.open(database, "tyny")
