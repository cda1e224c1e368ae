"""One process that draws the charts of all commands that tests fork, by vl_convert as they would.

vl_convert starts an engine of JavaScript at its first chart, which takes 1 s of processor time and
is not inherited by a fork.
"""

import os
import secrets
import signal
from multiprocessing.connection import Client, Listener
from types import SimpleNamespace

import vl_convert

from lrsearch.child_process import linux

_AUTHKEY = secrets.token_bytes()
_ADDRESS = f"\0lrsearch-charts-{os.getpid()}"


def begin():
    """Fork it from this process, with which it ends; `vl_convert` as forks of this one take it."""
    parent = os.getpid()
    listener = Listener(_ADDRESS, backlog=16, authkey=_AUTHKEY)
    if os.fork() == 0:
        linux.die_with(parent, signal.SIGKILL)
        while True:
            _answer(listener)
    listener.close()
    return SimpleNamespace(**{**vars(vl_convert), "vegalite_to_svg": _ask})


def _answer(listener):
    try:
        with listener.accept() as line:
            how, options = line.recv()
            try:
                drawn = vl_convert.vegalite_to_svg(*how, **options)
            except Exception as error:  # whoever asked raises it
                drawn = error
            line.send(drawn)
    except (EOFError, OSError):
        return  # a test has killed the process that asked


def _ask(*how, **options):
    with Client(_ADDRESS, authkey=_AUTHKEY) as line:
        line.send((how, options))
        drawn = line.recv()
    if isinstance(drawn, Exception):
        raise drawn
    return drawn
