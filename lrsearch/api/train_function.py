"""A training function of this process, by the name that another process finds it under."""

import inspect
import sys
from collections.abc import Callable
from pathlib import Path

from lrsearch.errors import SpecError
from lrsearch.plain_data import Unchecked

SAVE_IT = "save it in a file, and give its name: train='my_train.py:{name}'"


def train_reference(train: Unchecked | Callable[..., None], folder: Path) -> Unchecked:
    """`FILE.py:function` of a function in a file below `folder`; what is no function as it is.

    Each trial is a process of its own, which imports the function. Raises SpecError for one that it
    could not import: of a notebook's cell, of the program that is running, or inside of another.
    """
    if not callable(train):
        return train
    name = getattr(train, "__name__", type(train).__name__)
    save_it = SAVE_IT.format(name=name if name.isidentifier() else "train")
    if not inspect.isfunction(train):
        raise SpecError(f"search(): train is a {type(train).__name__}, no function; {save_it}")
    if train.__module__ == "__main__":
        raise SpecError(
            f"search(): train = {name} is of this session, which the processes of trials do not "
            f"see; {save_it}"
        )
    module = sys.modules.get(train.__module__)
    if getattr(module, name, None) is not train or module is None or module.__file__ is None:
        raise SpecError(f"search(): train = {train.__qualname__} is in no module; {save_it}")
    path, below = Path(module.__file__).resolve(), folder.resolve()
    if not path.is_relative_to(below):
        raise SpecError(
            f"search(): train = {name} is in {path}, which is not below task_dir {below}; give "
            f"task_dir={str(path.parent)!r}"
        )
    return f"{path.relative_to(below).as_posix()}:{name}"
