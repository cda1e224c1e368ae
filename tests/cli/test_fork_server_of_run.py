"""What the tests' commands are forked from: it has everything imported, and no thread."""

import sys
import threading

from command import in_process
from processes import finish


def leave_with_what_is_there():
    needed = {"torch._dynamo", "lrsearch.run_study", "lrsearch.worker.worker_process", "forked"}
    sys.exit(len(needed - sys.modules.keys()) + 10 * (threading.active_count() - 1))


def test_it_has_imported_what_commands_need_and_has_no_thread():
    """A module that cannot be imported is passed over in silence, and each command is slower."""
    assert finish(in_process(leave_with_what_is_there)) == [0]
