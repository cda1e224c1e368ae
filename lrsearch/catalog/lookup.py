"""What a name in a recipe or a space stands for, and whether an optimizer mapping can be built."""

from lrsearch.catalog.known_classes import PACKAGES, full_name
from lrsearch.catalog.optimizers import OPTIMIZERS, REFUSED, OptimizerInfo
from lrsearch.catalog.third_party import third_party_info
from lrsearch.errors import SpecError, near_miss
from lrsearch.plain_data import Fields, Unchecked


def optimizer_info(name: Unchecked, where: str) -> OptimizerInfo:
    """The registry entry for `name`, or what `package.module.Class` says of itself.

    Raises SpecError with the near miss, or the reason why it cannot be used.
    """
    if isinstance(name, str):
        if name in OPTIMIZERS:
            return OPTIMIZERS[name]
        if name in REFUSED:
            raise SpecError(f"{where} = {name!r} is refused: {REFUSED[name]}")
        if "." in name:
            return third_party_info(name, where)
        if (known := full_name(name)) is not None:
            package = PACKAGES[known.partition(".")[0]]
            raise SpecError(f"{where} = {name!r} is written {known}; install {package} for it")
    raise SpecError(
        f"{where} = {name!r} is not an optimizer{near_miss(name, OPTIMIZERS)}; any other class is "
        f"written package.module.Class"
    )


def check_optimizer(optimizer: Fields, where: str) -> None:
    """Raises SpecError unless `optimizer` (name, lr, ... as in a recipe) can be built."""
    name = optimizer.get("name")
    info = optimizer_info(name, f"{where}.name")
    limits = info.recipe_fields()
    for key in ("lr", *sorted(info.required)):
        if key not in optimizer:
            raise SpecError(f"{where}.{key} is missing")
    for key, value in optimizer.items():
        if key == "name":
            continue
        if key not in limits:
            raise SpecError(f"{where}.{key} is not a field of {name}{near_miss(key, limits)}")
        limits[key].check(value, f"{where}.{key}")
    if info.taken(optimizer, "fused") and not info.fused:
        raise SpecError(f"{where}.fused = true, but torch has no fused {info.class_name}")
    if "momentum" in info.fields and info.taken(optimizer, "nesterov"):
        if info.taken(optimizer, "momentum") == 0:
            raise SpecError(f"{where}.nesterov = true needs a momentum above 0")
        if info.taken(optimizer, "dampening"):
            raise SpecError(f"{where}.nesterov = true needs dampening 0")
