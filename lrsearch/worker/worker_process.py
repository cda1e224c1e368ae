"""What one worker process does."""

import os
from collections.abc import Callable

from lrsearch.errors import SpecError
from lrsearch.spec.shipped_studies import folders
from lrsearch.storage import curves
from lrsearch.study.open_study import OpenStudy
from lrsearch.study.stored_study import StoredStudy
from lrsearch.study.versions import check_versions
from lrsearch.worker.find_program import find_program
from lrsearch.worker.forks import PARENT, STARTED_TOGETHER
from lrsearch.worker.machine import Machine
from lrsearch.worker.scripts.training import SAVE_SOON_SECONDS
from lrsearch.worker.stop_signal import Stop
from lrsearch.worker.time_limit import TimeLimit
from lrsearch.worker.worker import Worker


def work(
    search: OpenStudy,
    machine: Machine,
    *,
    stop: Stop | None = None,
    leave: Callable[[bool], bool] = lambda idle: False,
) -> None:
    """Be one worker, until the study is finished or `leave` says so, see `Worker`.

    `stop` is whether this process was asked to end, if somebody knows. Raises DeviceError,
    TaskError when the study's code is not here or cannot be fused as asked for.
    """
    import torch

    from lrsearch.training.devices import pick_device
    from lrsearch.training.heap import prepare_heap

    if machine.threads < 1:
        raise SpecError(f"--threads {machine.threads}: at least 1 is needed")
    check_versions(search.name, search.versions)
    chosen = pick_device(machine.device)
    torch.set_num_threads(machine.threads)
    prepare_heap()
    places = list(folders(machine.task_dir))
    stop = stop or own_stop()
    tell_limit(stop.limit, search)
    program = find_program(search, places, chosen, stop)
    with stop.on_signals():
        Worker(
            search,
            program,
            chosen,
            stop,
            fuse=machine.fuse,
            compile=machine.compile,
            started_together=int(os.environ.get(STARTED_TOGETHER, "1")),
            leave=leave,
        ).run()


def own_stop(limit: TimeLimit | None = None) -> Stop:
    """Whether this process is to end, be it by the end of the one that started it."""
    return Stop(parent=int(os.environ.get(PARENT, "0")), limit=limit)


def tell_limit(limit: TimeLimit, search: StoredStudy) -> None:
    """Tell a time limit what is known of the study's trials before the first one is trained.

    A script or command is asked to end, and gets its grace to do so.
    """
    spec = search.spec
    if spec.program == "task":
        return
    limit.keep(spec.end.grace + (SAVE_SOON_SECONDS if spec.program == "train" else 0.0))
    if spec.program == "command" and not spec.resume_args:  # saved nowhere before its end
        longest = search.database.look(
            lambda connection: curves.longest_training(connection, search.study_id)
        )
        limit.expect("search", longest)
        limit.expect("confirm", longest)
