"""A step that holds the interpreter's lock is told from a process that does not run."""

import ctypes
import os
import signal
import threading
import time

from processes import finish, in_process

from lrsearch.worker.leases import interpreter_lock

SECONDS = 1.5


def waited(act):
    """What a thread finds that waits while this one acts."""
    found, begun = [], threading.Event()

    def live():
        begun.set()
        found.append(interpreter_lock.wait(threading.Event(), 0.1))

    thread = threading.Thread(target=live)
    thread.start()
    begun.wait()
    act()
    thread.join()
    return found[0]


def test_a_step_that_holds_the_lock_is_to_blame():
    hold = ctypes.PyDLL(None).usleep  # a PyDLL's functions do not let go of it
    assert waited(lambda: hold(int(SECONDS * 1e6))) > SECONDS / 2


def test_a_step_that_lets_go_of_it_is_not():
    assert waited(lambda: time.sleep(SECONDS)) == 0.0


def _stopped():
    def stop():
        pid = os.getpid()
        if os.fork() == 0:
            time.sleep(0.05)
            os.kill(pid, signal.SIGSTOP)
            time.sleep(SECONDS)
            os.kill(pid, signal.SIGCONT)
            os._exit(0)
        time.sleep(0.2)

    os._exit(0 if waited(stop) == 0.0 else 1)


def test_a_stopped_process_is_not():
    assert finish(in_process(_stopped)) == [0]
