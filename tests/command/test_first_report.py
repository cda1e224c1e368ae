"""A command that is run until its first report."""

import os
import subprocess
import sys
from contextlib import contextmanager

import pytest

from lrsearch.command.first_report import first_report
from lrsearch.command.metrics import read_report, reader_for
from lrsearch.errors import TaskError

REPORT = read_report({"val_loss": r"epoch (?P<epoch>\d+) valid loss +(\S+)"}, "val_loss")


@contextmanager
def running(tmp_path, code, *options):
    output = tmp_path / "output.log"
    argv = [sys.executable, *options, "-c", code]
    environment = {key: text for key, text in os.environ.items() if key != "PYTHONUNBUFFERED"}
    with output.open("wb") as file:
        process = subprocess.Popen(argv, stdout=file, stderr=file, env=environment)
    try:
        reader = reader_for(REPORT, output, tmp_path, metric="val_loss")
        yield lambda timeout=30: first_report(process, reader, output, argv, timeout=timeout)
    finally:
        process.kill()
        process.wait()


def test_the_first_report_is_told_while_the_command_runs(tmp_path):
    code = "import time; print('epoch 1 valid loss 0.25'); time.sleep(60)"
    with running(tmp_path, code, "-u") as look:
        found = look()
    assert found.reading.metrics == {"val_loss": 0.25}
    assert found.warning is None
    assert str(found) == f"first report after {found.seconds:.1f} s: val_loss 0.25, epoch 1"


def test_output_that_is_kept_back_is_a_warning(tmp_path):
    code = "import time\nfor n in range(3): time.sleep(0.5); print('epoch', n, 'valid loss', n / 4)"
    with running(tmp_path, code) as look:
        assert "the output is kept in a buffer" in look().warning
    with running(tmp_path, code, "-u") as look:
        assert look().warning is None


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (
            "print('loss: 3')",
            r"ended without a report: nothing matched .*; the output has: loss: 3",
        ),
        ("raise ValueError('no data')", "ended with status 1: ValueError: no data$"),
        ("import os; os.kill(os.getpid(), 9)", "ended with signal 9 and printed nothing$"),
        ("import time; time.sleep(60)", r"no report within 0\.3 s: nothing matched"),
        ("print('epoch 1 valid loss none', flush=True); input()", "took 'none' from the line"),
    ],
)
def test_without_a_report_the_error_says_what_there_is(tmp_path, code, said):
    with running(tmp_path, code) as look, pytest.raises(TaskError, match=said) as error:
        look(timeout=0.3 if "sleep" in code else 30)
    assert "\n" not in str(error.value)
