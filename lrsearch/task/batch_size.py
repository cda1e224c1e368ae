"""The samples of a task's training batch, whoever makes the batches."""

from typing import TYPE_CHECKING

from lrsearch.errors import TaskError, describe
from lrsearch.plain_data import Fields

if TYPE_CHECKING:
    from lrsearch.task.task import Task


def batch_size_of(task: "Task", params: Fields) -> int:
    """That of the DataLoader where the task has one, else `Task.batch_size`, which makes batches.

    A searched `batch_size` is what a task makes its loader with. A loader that does not tell how
    many samples its batches have leaves `Task.batch_size`. Raises TaskError where making the
    loader raises.
    """
    if not callable(task.train):
        return task.batch_size
    searched = params.get("batch_size")
    if isinstance(searched, int):
        return searched
    try:
        loader = task.train()
    except Exception as error:
        raise TaskError(f"train raised {describe(error)}") from error
    told = (loader, getattr(loader, "batch_sampler", None))
    sizes = [getattr(each, "batch_size", None) for each in told]
    return next((size for size in sizes if isinstance(size, int)), task.batch_size)
