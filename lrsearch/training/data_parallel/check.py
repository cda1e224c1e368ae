"""Whether a task's trials can be trained on several devices, before a study is made."""

import torch

from lrsearch.errors import TaskError
from lrsearch.spec.study_spec import StudySpec
from lrsearch.task.task import Task
from lrsearch.training.data_parallel.batch_norm import synced
from lrsearch.training.data_parallel.parts import bounds
from lrsearch.training.data_parallel.place import Place
from lrsearch.training.devices import devices_of_trial
from lrsearch.training.model import make_model


def check_devices(task: Task, spec: StudySpec, device: torch.device) -> list[str]:
    """What a trial is trained on, for people, where that is several devices; else nothing.

    Raises DeviceError where this machine has fewer, TaskError where the task cannot be shared.
    """
    ranks = spec.devices_per_trial
    if ranks == 1:
        return []
    devices = devices_of_trial(device, ranks)
    if task.carry is not None:
        raise TaskError(
            f"devices_per_trial = {ranks}, but the task has carry, whose state is that of whole "
            f"batches; leave one of them out"
        )
    if not callable(task.train):
        bounds(task.batch_size, Place(rank=0, ranks=ranks))
    make_model(synced(task, device), device)
    if device.type == "cpu":
        return [f"a trial is trained by {ranks} processes on the CPU, each on a part of a batch"]
    names = ", ".join(map(str, devices))
    return [f"a trial is trained on {ranks} devices ({names}), each on a part of every batch"]
