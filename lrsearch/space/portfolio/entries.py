"""What a portfolio is made of."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from lrsearch.errors import SpecError
from lrsearch.plain_data import Document, Fields, Unchecked
from lrsearch.recipe.recipe import Recipe

#: Fields of a recipe that an entry may have; the others are the study's.
OWN_FIELDS = ("optimizer", "schedule", "warmup", "batch_size", "params", "source")


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A recipe in torch's names and units; a field that it leaves out is the class's default."""

    #: `{name, lr, ...}`.
    optimizer: Fields
    #: `{name, ...}`.
    schedule: Fields
    #: Fraction of all steps.
    warmup: float = 0.0
    #: The batch size that SGD's learning rate is for, and grows with. None: it is as it stands.
    batch_size: int | None = None
    #: Keyword arguments of the task function.
    params: Fields = field(default_factory=dict)
    #: Where it comes from, in words.
    source: str

    @property
    def name(self) -> str:
        """The optimizer's name."""
        return str(self.optimizer["name"])

    @classmethod
    def read(cls, content: Unchecked, where: str) -> "Entry":
        """An entry as a file has it. Raises SpecError, one line that begins with `where`."""
        if not isinstance(content, Mapping):
            raise SpecError(f"{where} = {content!r}, but a mapping with `optimizer` is needed")
        for key in content:
            if key not in OWN_FIELDS:
                raise SpecError(
                    f"{where}.{key} is not a field of a portfolio's recipe; "
                    f"{', '.join(OWN_FIELDS)} are accepted"
                )
        source = content.get("source", where)
        if not isinstance(source, str):
            raise SpecError(f"{where}.source = {source!r}, but text is accepted")
        fields = {key: value for key, value in content.items() if key != "source"}
        recipe = Recipe.from_dict(fields, where)
        return cls(
            optimizer=recipe.optimizer,
            schedule=recipe.schedule,
            warmup=recipe.warmup,
            batch_size=recipe.batch_size,
            params=recipe.params,
            source=source,
        )

    def to_dict(self) -> Document:
        """Plain JSON values; `read` gives an equal entry."""
        return {
            "optimizer": dict(self.optimizer),
            "schedule": dict(self.schedule),
            "warmup": self.warmup,
            "batch_size": self.batch_size,
            "params": dict(self.params),
            "source": self.source,
        }
