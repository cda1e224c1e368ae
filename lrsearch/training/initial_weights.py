"""Weights that every trial of a study starts from: finding their file, and loading it."""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from lrsearch.errors import TaskError, describe
from lrsearch.spec.initial_weights import InitialWeights
from lrsearch.spec.study_spec import StudySpec
from lrsearch.task.task import LoadedTask, Task

#: Names that are told of those that do not fit.
MOST_NAMES = 3


@dataclass(frozen=True, kw_only=True)
class FoundWeights:
    """A file of weights that is here; read once."""

    path: Path
    sha256: str
    strict: bool
    #: What was read, after the first time.
    _state: dict[str, Tensor] = field(default_factory=dict, repr=False, compare=False)

    def prepare(self, task: Task) -> Task:
        """The task, whose models have these weights."""
        if isinstance(task.model, nn.Module) or not callable(task.model):
            return task  # which the task's check refuses
        return replace(task, model=partial(self.model, task.model))

    def model(self, make: Callable[[], nn.Module]) -> nn.Module:
        """A new model with these weights. Raises TaskError in one line where they do not fit."""
        model = make()
        if not isinstance(model, nn.Module):
            return model
        own = model.state_dict()
        state = self._read()
        given = state
        if not self.strict:
            given = {k: v for k, v in state.items() if k in own and v.shape == own[k].shape}
            if not given:
                raise TaskError(f"init: {self.path.name} has nothing of the model{_heads(own)}")
        elif wrong := _differences(own, state):
            raise TaskError(
                f"init: {self.path.name} is not of this model: {'; '.join(wrong)}; give another "
                f"file, or {{file: {self.path.name}, strict: false}} for what fits"
            )
        model.load_state_dict(given, strict=self.strict)
        return model

    def _read(self) -> dict[str, Tensor]:
        if not self._state:
            try:
                read = torch.load(self.path, map_location="cpu", weights_only=True)
            except Exception as error:  # files can be wrong in more ways than torch has errors for
                raise TaskError(
                    f"init: {self.path.name} cannot be read as weights ({describe(error)[:200]}); "
                    f"write it with torch.save(model.state_dict(), {self.path.name!r})"
                ) from error
            if isinstance(read, Mapping) and isinstance(read.get("state_dict"), Mapping):
                read = read["state_dict"]  # as Lightning and timm write it
            if not isinstance(read, Mapping) or not all(
                isinstance(value, Tensor) for value in read.values()
            ):
                raise TaskError(
                    f"init: {self.path.name} holds {type(read).__name__}, but a state dict, of "
                    f"names and tensors, is needed"
                )
            self._state.update(read)
        return self._state


def _differences(own: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> list[str]:
    """What keeps a state from being the model's, a phrase for each kind."""
    both = own.keys() & state.keys()
    kinds = {
        "missing": [name for name in own if name not in state],
        "unexpected": [name for name in state if name not in own],
        "of another shape": [
            f"{name} {tuple(state[name].shape)}, the model's {tuple(own[name].shape)}"
            for name in own
            if name in both and own[name].shape != state[name].shape
        ],
    }
    return [f"{kind}: {_some(names)}" for kind, names in kinds.items() if names]


def _some(names: list[str]) -> str:
    more = len(names) - MOST_NAMES
    return ", ".join(names[:MOST_NAMES]) + (f" and {more} more" if more > 0 else "")


def _heads(own: Mapping[str, Tensor]) -> str:
    return f", whose parameters are {_some(list(own))}"


def with_weights_beside(
    spec: StudySpec, loaded: LoadedTask, folder: Path
) -> tuple[StudySpec, LoadedTask]:
    """A study file's spec with the hash of its `init`, and the task with these weights.

    Raises TaskError where the file is not in `folder`, or has another hash than the spec says.
    """
    if spec.init is None:
        return spec, loaded
    found = find_weights(spec.init, [folder])
    named = spec.init.model_copy(update={"sha256": found.sha256})
    spec = spec.model_copy(update={"init": named})
    return spec, replace(loaded, prepare=found.prepare)


def with_weights_of(spec: StudySpec, loaded: LoadedTask, folders: Iterable[Path]) -> LoadedTask:
    """A stored study's task with the weights that its trials start from. Raises TaskError."""
    if spec.init is None:
        return loaded
    return replace(loaded, prepare=find_weights(spec.init, folders).prepare)


def find_weights(init: InitialWeights, folders: Iterable[Path]) -> FoundWeights:
    """The first file in `folders` that has the hash, if there is one to have.

    Raises TaskError that lists every place looked at and the hash found in it.
    """
    seen = []
    for folder in folders:
        path = (folder / init.file).resolve()
        if not path.is_file():
            seen.append(f"{folder / init.file}: not there")
            continue
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if init.sha256 in (None, found):
            return FoundWeights(path=path, sha256=found, strict=init.strict)
        seen.append(f"{path}: {found[:12]}")
    wanted = "" if init.sha256 is None else f" with the study's SHA-256 {init.sha256[:12]}"
    raise TaskError(f"init: no file {init.file}{wanted} ({'; '.join(seen)}); bring it here")
