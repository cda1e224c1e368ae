"""lrsearch: which optimizer, learning rate and schedule, for your model and your budget."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lrsearch.api.compare import compare
    from lrsearch.api.open_study import open_study
    from lrsearch.api.result import Result
    from lrsearch.api.search import search
    from lrsearch.api.train import train
    from lrsearch.api.trained_model import TrainedModel
    from lrsearch.errors import (
        DeviceError,
        LrsearchError,
        SpecError,
        StorageError,
        StudyError,
        TaskError,
        TaskWarning,
    )
    from lrsearch.own_loop.ended import Ended
    from lrsearch.own_loop.run import run
    from lrsearch.recipe.recipe import Recipe
    from lrsearch.spec.study_spec import StudySpec
    from lrsearch.task.pooled import pooled
    from lrsearch.task.task import Task

from lrsearch.version import __version__

__all__ = [
    "DeviceError",
    "Ended",
    "LrsearchError",
    "Recipe",
    "Result",
    "SpecError",
    "StorageError",
    "StudyError",
    "StudySpec",
    "Task",
    "TaskError",
    "TaskWarning",
    "TrainedModel",
    "__version__",
    "compare",
    "open_study",
    "pooled",
    "run",
    "search",
    "train",
]

_MODULES = {
    "Ended": "own_loop.ended",
    "Recipe": "recipe.recipe",
    "Result": "api.result",
    "StudySpec": "spec.study_spec",
    "Task": "task.task",
    "TrainedModel": "api.trained_model",
    "compare": "api.compare",
    "open_study": "api.open_study",
    "pooled": "task.pooled",
    "run": "own_loop.run",
    "search": "api.search",
    "train": "api.train",
}


def __getattr__(name: str) -> Any:
    # On first use, so that `import lrsearch` and `lrsearch --help` stay quick.
    if name not in __all__:
        raise AttributeError(f"module 'lrsearch' has no attribute {name!r}")
    return getattr(importlib.import_module(f"lrsearch.{_MODULES.get(name, 'errors')}"), name)
