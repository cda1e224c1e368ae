"""What runs inside a Slurm job, without Slurm: a script stands for `python -m lrsearch`."""

import os
import signal
import sys
import threading
import time

import pytest
from processes import until

from lrsearch.errors import StudyError
from lrsearch.launch import slurm_job
from lrsearch.launch.slurm_job import SIGNAL, WorkerJob

pytest.importorskip("submitit")


@pytest.fixture
def job(tmp_path, monkeypatch):
    """A job whose worker ends with the code in a file, at SIGTERM with 75."""
    script = tmp_path / "python"
    script.write_text(
        "#!/bin/sh\ntrap 'exit 75' TERM\ntouch begun\n"
        "while [ ! -e code ]; do sleep 0.02; done\nexit $(cat code)\n"
    )
    script.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(script))
    monkeypatch.chdir(tmp_path)
    return WorkerJob(["worker", "tiny"], tmp_path / "stopped")


def test_a_finished_study_ends_the_job(job, tmp_path):
    (tmp_path / "code").write_text("0")
    job()


def test_a_failed_worker_fails_the_job(job, tmp_path):
    (tmp_path / "code").write_text("1")
    with pytest.raises(StudyError, match="the worker ended with 1"):
        job()


def test_a_job_too_short_for_a_trial_is_not_queued_again(job, tmp_path):
    (tmp_path / "code").write_text("75")
    with pytest.raises(StudyError, match="give a longer --time-limit"):
        job()


def test_an_unfinished_study_queues_the_job_again(job, tmp_path, monkeypatch):
    monkeypatch.setattr(slurm_job, "LEAST_SECONDS", 0.0)
    (tmp_path / "code").write_text("75")
    assert signals_of(job, lambda: None) == 1


def signals_of(job, disturb):
    """Run a job as submitit does; how often it was asked to checkpoint."""
    seen = []
    before = signal.signal(SIGNAL, lambda *_: seen.append(job.checkpoint()))
    thread = threading.Thread(target=disturb)
    thread.start()
    try:
        job()
    finally:
        thread.join()
        signal.signal(SIGNAL, before)
    return len(seen)


def after_begin(folder, number):
    def disturb():
        until((folder / "begun").exists)
        time.sleep(0.05)
        os.kill(os.getpid(), number)

    return disturb


def test_slurms_signal_ends_the_worker_in_order_while_the_job_waits_for_it(
    job, tmp_path, monkeypatch
):
    monkeypatch.setattr(slurm_job, "LEAST_SECONDS", 0.0)
    # submitit's handler ends the process; this one returns, and the job asks once more.
    assert signals_of(job, after_begin(tmp_path, SIGNAL)) == 2


def test_a_job_that_was_ended_by_sigterm_is_not_queued_again_by_itself(job, tmp_path):
    assert signals_of(job, after_begin(tmp_path, signal.SIGTERM)) == 0
    assert not (tmp_path / "code").exists()


def test_a_job_that_was_stopped_before_it_began_starts_no_worker(job, tmp_path):
    (tmp_path / "stopped").touch()
    job()
    assert not (tmp_path / "begun").exists()


def test_a_stopped_fleet_goes_on_with_nothing(job, tmp_path):
    assert job.checkpoint().function.words == ["worker", "tiny"]
    (tmp_path / "stopped").touch()
    assert job.checkpoint() is None
