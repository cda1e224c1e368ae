"""What a script gives `run.build`, as a module with names for its parameters, and groups."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from torch import Tensor, nn

from lrsearch.errors import TaskError
from lrsearch.own_loop.frames import visible_modules
from lrsearch.plain_data import Document, Fields
from lrsearch.recipe.parameter_groups import Groups, ListedGroups

#: A module, parameters, parameters with names, or groups as torch's optimizers take them, with
#: `lr_scale` in place of `lr`.
Given = nn.Module | Iterable[Tensor] | Iterable[tuple[str, Tensor]] | Iterable[Fields]
#: Keys of a group that say nothing to an optimizer; timm writes `param_names`.
REMARKS = ("name", "param_names")
_ACCEPTED = "a module, parameters, or groups {params: ..., lr_scale: ...} are accepted"


class Parts(nn.Module):
    """Some parameters of modules, under the names that these give them.

    The optimizer's builder sees these parameters alone, the weight average all buffers as well.
    """

    def __init__(self, roots: Mapping[str, nn.Module], wanted: Sequence[Tensor]) -> None:
        super().__init__()
        for name, root in roots.items():
            self.add_module(name, root)
        names = {id(p): name for name, p in super().named_parameters()}
        named = {names.get(id(p), f"parameter_{i}"): p for i, p in enumerate(wanted)}
        #: Of no module that was found.
        self._loose = {name: p for name, p in named.items() if id(p) not in names}
        for name, tensor in self._loose.items():
            setattr(self, name, tensor)
        self._named = named

    @property
    def has_loose(self) -> bool:
        """Whether parameters are of no module that was found."""
        return bool(self._loose)

    def named_parameters(  # type: ignore[override]
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Tensor]]:
        yield from (self._named if recurse else self._loose).items()

    def get_parameter(self, target: str) -> Tensor:  # type: ignore[override]
        return self._named[target]


def named_module(given: Given) -> tuple[nn.Module, Groups]:
    """The module whose trained parameters are given, and the groups that they are given in.

    Parameters without their module get its names where the calling code has it in a variable.
    Raises TaskError for anything else.
    """
    if isinstance(given, nn.Module):
        return given, None
    items = [given] if isinstance(given, Tensor) else list(given)
    if not items:
        raise TaskError(f"run.build got no parameters; {_ACCEPTED}")
    mappings = [item for item in items if isinstance(item, Mapping)]
    if len(mappings) == len(items):
        groups = [_group(item, i) for i, item in enumerate(mappings)]
        tensors = [tensor for group in groups for tensor in group["params"]]
        return Parts(_owners(tensors), tensors), ListedGroups(groups, "run.build's groups")
    tensors = _tensors(items, "run.build's list")
    owners = _owners(tensors)
    for owner in owners.values():
        if [id(p) for p in owner.parameters()] == [id(p) for p in tensors]:
            return owner, None
    return Parts(owners, tensors), None


def _group(item: Fields, i: int) -> Document:
    if "params" not in item:
        raise TaskError(f"run.build's groups[{i}] has no `params`; {_ACCEPTED}")
    given = item["params"]
    members = [given] if isinstance(given, Tensor) else list(given)
    rest = {key: value for key, value in item.items() if key not in ("params", *REMARKS)}
    return {"params": _tensors(members, f"run.build's groups[{i}].params"), **rest}


def _tensors(items: Sequence[object], where: str) -> list[Tensor]:
    """Tensors that came alone, or as pairs with names."""
    tensors = []
    for item in items:
        value = item[-1] if isinstance(item, tuple) and item else item
        if not isinstance(value, Tensor):
            raise TaskError(f"{where} has {type(value).__name__}; {_ACCEPTED}")
        tensors.append(value)
    return tensors


def _owners(tensors: Sequence[Tensor]) -> dict[str, nn.Module]:
    """Modules that the calling code can see and that have these parameters: one if one has all."""
    left = {id(tensor) for tensor in tensors}
    held = {
        name: (module, {id(p) for p in module.parameters()})
        for name, module in visible_modules().items()
    }
    whole = [name for name, (_, ids) in held.items() if left <= ids]
    if whole:
        # The smallest: not the wrapper of a model, nor a model of which it is one part.
        name = min(whole, key=lambda n: (len(held[n][1]), len(list(held[n][0].modules()))))
        return {name: held[name][0]}
    found: dict[str, nn.Module] = {}
    while held:
        name = max(held, key=lambda n: len(held[n][1] & left))
        module, ids = held.pop(name)
        if not ids & left:
            break
        found[name] = module
        left -= ids
    return found
