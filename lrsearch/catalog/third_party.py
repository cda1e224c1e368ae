"""Optimizers of other packages, by `package.module.Class`: what their signature says of them."""

import functools
import importlib
import importlib.util
import inspect
import os
import site
import sys
import sysconfig
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

from lrsearch.catalog.fields import BETAS, DECAY_RATE, FLAG, Anything, FieldLimit, Limit, Numbers
from lrsearch.catalog.known_classes import KNOWN_CLASSES, NEED_CLOSURE, PACKAGES, KnownClass
from lrsearch.catalog.optimizers import EXCLUDE_1D, OPTIMIZERS, REFUSED, OptimizerInfo
from lrsearch.errors import SpecError, near_miss
from lrsearch.plain_data import Unchecked
from lrsearch.user_input import is_number

#: Arguments of a constructor that no recipe sets.
_NOT_FIELDS = ("self", "params", "lr", "fused", "foreach", "capturable", "differentiable")
#: Where a class with a `fused` argument is taken to have what it says.
_FUSED_ON = ("cpu", "cuda", "mps", "xpu")
#: What some constructors take first in place of parameters.
_FIRST_ARGUMENTS = {"model": "the model", "optimizer": "another optimizer"}
_EMPTY = inspect.Parameter.empty
Momentum = Literal["momentum", "betas"] | None
#: Numbers that are the share an average keeps, by the names that packages give them.
_DECAY_RATES = ("momentum", "rho")


def third_party_info(name: str, where: str) -> OptimizerInfo:
    """The fields of the class, from its constructor. Raises SpecError if it cannot be searched."""
    try:
        return _inspected(name)
    except SpecError as error:
        raise SpecError(f"{where} = {name!r}: {error}") from error


@functools.cache
def _inspected(name: str) -> OptimizerInfo:
    found = _import(name)
    refuse_class(name, found)
    return class_info(name, found, KNOWN_CLASSES.get(name, KnownClass()))


def class_info(name: str, found: Any, known: KnownClass) -> OptimizerInfo:
    """What the signature of an optimizer's class says, and what is known of it beside that."""
    arguments = {
        key: argument
        for key, argument in inspect.signature(found).parameters.items()
        if argument.kind in (argument.POSITIONAL_OR_KEYWORD, argument.KEYWORD_ONLY)
    }
    own = {key: a.default for key, a in arguments.items() if is_field(key, a.default)}
    given = {key: default for key, default in own.items() if default is not _EMPTY}
    fields = {**{key: limit_of(key, default) for key, default in own.items()}, **known.limits}
    if "weight_decay" in fields:
        fields |= EXCLUDE_1D
    momentum: Momentum = (
        "momentum" if "momentum" in fields else "betas" if "betas" in fields else None
    )
    return OptimizerInfo(
        path=name,
        fields=fields,
        ranges=known.ranges,
        momentum=None if known.momentum == "none" else momentum,
        fused=_FUSED_ON if "fused" in arguments else (),
        defaults={key: list(v) if isinstance(v, tuple) else v for key, v in given.items()},
        required=frozenset(own.keys() - given.keys()),
        switches=callable(getattr(found, "train", None)) and callable(getattr(found, "eval", None)),
        known=known,
    )


def is_field(key: str, default: Any) -> bool:
    """Whether a recipe may set the argument: no function, and nothing else that JSON lacks."""
    plain = default is _EMPTY or isinstance(default, bool | int | float | str | list | tuple | None)
    return key not in _NOT_FIELDS and plain


def _import(name: str) -> Any:
    module_name, _, class_name = name.rpartition(".")
    _refuse_place(module_name)
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise SpecError(
            f"there is no module {error.name!r} here; install "
            f"{PACKAGES.get(module_name, 'its package')} for every worker"
        ) from error
    except Exception as error:
        raise SpecError(
            f"importing {module_name} raised {type(error).__name__}: {error}"
        ) from error
    if not hasattr(module, class_name):
        raise SpecError(f"{module_name} has no {class_name!r}{near_miss(class_name, vars(module))}")
    return getattr(module, class_name)


def _refuse_place(module_name: str) -> None:
    """Raise SpecError unless the module is of an installed package; nothing is imported for that.

    Names come from databases too, and importing a script runs it.
    """
    top, *parts = module_name.split(".")
    if top in sys.stdlib_module_names:
        raise SpecError(f"{top} is a module of Python, which has no optimizers")
    if any(part.startswith("_") for part in parts) or not _is_installed(top):
        raise SpecError(
            f"{module_name} is no module of an installed package; install it, or name its folder "
            f"in PYTHONPATH"
        )


def _is_installed(top: str) -> bool:
    """Whether there is such a module in a folder of packages, of the user's own or of pip's."""
    if top in sys.modules:
        return True
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        spec = None
    if spec is None:
        return True  # importing it says that it is not there
    folders = [sysconfig.get_path("purelib"), sysconfig.get_path("platlib")]
    folders += [*site.getsitepackages(), site.getusersitepackages()]
    folders += filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
    places = [Path(place).parent for place in spec.submodule_search_locations or ()]
    places += [Path(spec.origin).parent] if spec.origin and not places else []
    known = {Path(folder).resolve() for folder in folders}
    installed = any(place.resolve() in known for place in places)
    return installed or top in metadata.packages_distributions()  # which takes 0.1 s


def refuse_class(name: str, found: Any) -> None:
    """Raise SpecError for what is no optimizer, is ours already, or cannot train on minibatches."""
    import torch

    if not inspect.isclass(found) or not issubclass(found, torch.optim.Optimizer):
        raise SpecError("it is not a torch.optim.Optimizer")
    for ours, info in OPTIMIZERS.items():
        if found is getattr(torch.optim, info.class_name, None):
            raise SpecError(f"lrsearch has it as {ours}; write that name")
    for theirs in ("LBFGS", "SparseAdam"):
        if issubclass(found, getattr(torch.optim, theirs)):
            raise SpecError(REFUSED["lbfgs" if theirs == "LBFGS" else "sparse_adam"])
    arguments = inspect.signature(found).parameters
    step = inspect.unwrap(found.step)
    closure = inspect.signature(step).parameters.get("closure")
    if name in NEED_CLOSURE or (closure is not None and closure.default is closure.empty):
        raise SpecError(
            "its step() needs a closure, so one batch would be evaluated repeatedly; use an "
            "optimizer that takes one gradient a step"
        )
    if first := _FIRST_ARGUMENTS.get(next(iter(arguments), "")):
        raise SpecError(f"its constructor takes {first}, and lrsearch has parameters for it")
    if "lr" not in arguments:
        raise SpecError("its constructor takes no lr, which a schedule drives")


def limit_of(key: str, default: Unchecked) -> FieldLimit:
    if isinstance(default, bool):
        return FLAG
    if key == "betas" and isinstance(default, tuple) and len(default) == 2:
        return BETAS
    if isinstance(default, tuple) and all(is_number(item) for item in default):
        return Numbers(length=len(default))
    if key in _DECAY_RATES:
        return DECAY_RATE
    if is_number(default) and not _is_count(key, default):
        return Limit(low=-float("inf"))
    return Anything()


def _is_count(key: str, default: Unchecked) -> bool:
    """Whether a number is one of steps and the like; 0 and 1 often stand for 0.0 and 1.0."""
    if not isinstance(default, int):
        return False
    return default not in (0, 1) or any(word in key for word in ("step", "freq", "interval"))
