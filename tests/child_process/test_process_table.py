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


def test_descendants_are_found_at_any_depth_and_zombies_left_out(tmp_path):
    program = tmp_path / ") R 1 ("  # its name holds what ends a name in /proc
    program.symlink_to(shutil.which("sleep"))
    lines = 'true & (sleep 1000 & "$0" 1000 & echo go; wait) & exec sleep 1000'
    words = ["bash", "-c", lines, str(program)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        process.stdout.readline()
        above = psutil.Process(process.pid)
        until(lambda: any(child.status() == psutil.STATUS_ZOMBIE for child in above.children()))
        until(lambda: program.name in [p.name() for p in above.children(recursive=True)])
        zombies = [p.pid for p in above.children() if p.status() == psutil.STATUS_ZOMBIE]
        every = {child.pid for child in above.children(recursive=True)}
        found = descendants(process.pid)
        in_group = descendants(zombies[0], group=os.getpgrp())
        for pid in (*found, process.pid):
            os.kill(pid, signal.SIGKILL)
    assert len(zombies) == 1
    assert len(found) == 3
    assert set(found) == every - set(zombies)
    assert {process.pid, os.getpid(), *found} <= set(in_group)
