"""The table of processes beside psutil's."""

import os
import shutil
import signal
import subprocess

import psutil
from processes import until

from lrsearch.child_process import process_table
from lrsearch.child_process.process_table import descendants, table


def as_psutil_says(process):
    return (process.pid, process.ppid(), os.getpgid(process.pid))


def test_a_process_stands_as_psutil_says():
    found = {entry.pid: entry for entry in table()}
    here = psutil.Process()
    for process in (here, *here.parents()):
        entry = found[process.pid]
        assert (entry.pid, entry.parent, entry.group) == as_psutil_says(process)
        assert not entry.zombie


def test_ps_says_the_same():
    here, parent = os.getpid(), os.getppid()
    known = {entry.pid: entry for entry in table()}
    told = {entry.pid: entry for entry in process_table.table_of_ps()}
    assert [told[here], told[parent]] == [known[here], known[parent]]


def test_descendants_are_found_at_any_depth(tmp_path):
    program = tmp_path / ") R 1 ("  # its name holds what ends a name in /proc
    program.symlink_to(shutil.which("sleep"))
    words = ["sh", "-c", '(sleep 60 & "$0" 60) & sleep 60', str(program)]
    with subprocess.Popen(words, start_new_session=True) as process:
        try:
            above = psutil.Process(process.pid)
            until(lambda: program.name in [p.name() for p in above.children(recursive=True)])
            until(lambda: [p.name() for p in above.children(recursive=True)].count("sleep") == 2)
            every = {child.pid for child in above.children(recursive=True)}
            assert set(descendants(process.pid)) == every
            assert {process.pid, *every} <= set(descendants(os.getpid()))
            deepest = max(every)
            assert set(descendants(deepest, group=process.pid)) == {process.pid, *every} - {deepest}
        finally:
            os.killpg(process.pid, signal.SIGKILL)


def test_a_zombie_is_none():
    with subprocess.Popen(["true"]) as process:
        until(lambda: psutil.Process(process.pid).status() == psutil.STATUS_ZOMBIE)
        assert process.pid not in descendants(os.getpid())
