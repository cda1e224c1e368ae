"""One worker inside the caller's own process, for a task that is an object of it."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from lrsearch.fusing.compiling import CompileOption
from lrsearch.fusing.fuse_option import FuseOption
from lrsearch.study.open_study import OpenStudy
from lrsearch.task.task import LoadedTask
from lrsearch.training.devices import pick_device
from lrsearch.worker.stop_signal import Stop
from lrsearch.worker.tasks.program import TaskProgram
from lrsearch.worker.worker import Worker


def work_here(
    study: OpenStudy,
    loaded: LoadedTask,
    *,
    device: str,
    fuse: FuseOption,
    compile: CompileOption = "auto",
) -> None:
    """Work on a study until it is finished. Raises DeviceError."""
    chosen = pick_device(device)
    with own_random_stream():
        program = TaskProgram(study.spec, loaded, chosen)
        Worker(study, program, chosen, Stop(), fuse=fuse, compile=compile).run()


@contextmanager
def own_random_stream() -> Iterator[None]:
    """Train on one thread, and leave the caller's random stream and threads as they were."""
    threads = torch.get_num_threads()
    with torch.random.fork_rng():
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(threads)
