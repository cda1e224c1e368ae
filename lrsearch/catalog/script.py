"""`script`: the optimizer and the schedule of a command, which are whatever its script uses.

A command line is told the values of fields and builds nothing here. So neither is made, drawn or
range-tested; only the fields have names, limits and, for `lr`, a range.
"""

from collections.abc import Collection

from lrsearch.catalog.domains import Range
from lrsearch.catalog.fields import BETAS, DECAY_RATE, NOT_NEGATIVE, POSITIVE
from lrsearch.catalog.optimizers import OptimizerInfo
from lrsearch.catalog.schedules import ScheduleInfo

#: The name of both in a recipe and in a space.
SCRIPT = "script"

SCRIPT_OPTIMIZER = OptimizerInfo(
    path=SCRIPT,
    fields={"momentum": DECAY_RATE, "weight_decay": NOT_NEGATIVE, "betas": BETAS, "eps": POSITIVE},
    # The optimizer may be any: from adamw's lowest published decades to sgd's highest
    # (`finetune` 1e-6..1e-4, `default` 1e-4..1e-1 and 1e-3..1).
    ranges={"lr": Range(low=1e-5, high=1.0, log=True)},
    # What a recipe leaves out is the script's own, and so is not known: neither 0 nor torch's.
    # Half a pair is completed with torch's other half.
    defaults={"momentum": None, "weight_decay": None, "eps": None, "betas": [0.9, 0.999]},
)
SCRIPT_SCHEDULE = ScheduleInfo(fields={}, defaults={}, ranges={})


def in_words(name: str, kind: str = "optimizer") -> str:
    """The name of an optimizer or a schedule as people read it."""
    return f"the script's own {kind}" if name == SCRIPT else name


def uses_script(optimizers: Collection[str], schedules: Collection[str]) -> str | None:
    """Why a study that builds its optimizers cannot have these names; None if it can."""
    for kind, names, example in (
        ("optimizer", optimizers, "adamw"),
        ("schedule", schedules, "cosine"),
    ):
        if SCRIPT in names:
            return (
                f"{kind} {SCRIPT!r} is what a command's script uses, and only a study with "
                f"`command:` has one; name another, such as {example}"
            )
    return None
