"""The peak learning rate of each parameter group of a recipe, as far as the recipe tells it."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass

from lrsearch.catalog.groups import OF_TASK
from lrsearch.plain_data import Document, Fields, Unchecked
from lrsearch.recipe.recipe import Recipe
from lrsearch.user_input import is_number

#: What the parameters are called that no rule takes.
DEFAULT = "default"


@dataclass(frozen=True, kw_only=True)
class GroupRate:
    """A group and its learning rate."""

    group: str
    #: Peak; with `layer_decay` that of the deepest layer.
    lr: float
    #: Factor of lr for each layer below the deepest; None for a single learning rate.
    layer_decay: float | None = None

    @property
    def title(self) -> str:
        """`lr 0.005`, `lr 0.05 in the deepest layer, x 0.8 for each below`."""
        if self.layer_decay is None:
            return f"lr {self.lr:.6g}"
        return f"lr {self.lr:.6g} in the deepest layer, x {self.layer_decay:.3g} for each below"


def group_rates(recipe: Recipe) -> list[GroupRate]:
    """The default group, then each rule; none for a recipe without groups of its own."""
    rules = recipe.group_rules
    if not rules:
        return []
    return [
        GroupRate(group=DEFAULT, lr=recipe.lr),
        *(
            GroupRate(group=r.name, lr=recipe.lr * r.lr_scale, layer_decay=r.layer_decay)
            for r in rules
        ),
    ]


def group_rows(recipe: Recipe) -> Iterator[tuple[str, str]]:
    """A row for each group: its learning rate, and what else is its own."""
    if recipe.groups == OF_TASK:
        yield "parameter groups", "those of the task's function"
    for rate, rule in zip(group_rates(recipe)[1:], recipe.group_rules, strict=True):
        own = [f"{key} {_short(value)}" for key, value in rule.arguments.items()]
        yield f"group: {rate.group}", ", ".join([rate.title, *own])


def _short(value: Unchecked) -> str:
    return f"{value:.6g}" if is_number(value) else str(value)


def rates_document(recipe: Fields | None) -> Document:
    """`lr_by_group` of a stored recipe, for `--json`; nothing where it has no groups."""
    if not recipe or not recipe.get("groups"):
        return {}
    rates = group_rates(Recipe.from_dict(recipe))
    return {"lr_by_group": [asdict(rate) for rate in rates]} if rates else {}
