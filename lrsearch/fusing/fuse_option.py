"""What `--fuse` asks for, and whether a study can have it."""

import re
from typing import Literal

from lrsearch.catalog.domains import Fixed, Range
from lrsearch.catalog.lookup import optimizer_info
from lrsearch.errors import SpecError
from lrsearch.spec import named
from lrsearch.spec.study_spec import StudySpec

#: `auto`: the worker measures which engine is faster. A number: so many trials train at once.
FuseOption = int | Literal["auto", "off"]
#: More trials at once than this were never tried.
MOST_AT_ONCE = 1024


def parse(text: str) -> FuseOption:
    """The value of `--fuse`. Raises SpecError for any other text."""
    if text in ("auto", "off"):
        return text  # type: ignore[return-value]
    if not re.fullmatch("[0-9]{1,4}", text) or not 2 <= int(text) <= MOST_AT_ONCE:
        raise SpecError(
            f"--fuse {text[:40]!r}: auto, off or a number of trials at once, from 2 to "
            f"{MOST_AT_ONCE}, is accepted"
        )
    return int(text)


def check(spec: StudySpec, fuse: FuseOption) -> None:
    """Raises SpecError if a study cannot train so many trials at once, whatever its task is."""
    if not isinstance(fuse, int):
        return
    trials = spec.budget.trials or spec.budget.runs
    if trials is not None and fuse > trials:
        unit = "trials" if spec.budget.trials else "runs"
        raise SpecError(
            f"--fuse {fuse}: study {spec.name} has {trials} {unit} in all, give at most that"
        )
    if reason := not_shared(spec):
        raise SpecError(f"--fuse {fuse}: {reason}; leave --fuse out")


def not_shared(spec: StudySpec) -> str | None:
    """Why the study's trials cannot train as one program; None if they can."""
    if spec.program != "task":
        return "a script trains each trial in a process of its own"
    if spec.devices_per_trial > 1:
        return f"devices_per_trial = {spec.devices_per_trial}, which all train one trial"
    searched = searched_params(spec)
    if not searched:
        return _alone(spec)
    return f"the space searches params ({', '.join(searched)}), which fused trials must share"


def searched_params(spec: StudySpec) -> list[str]:
    """Names of the params that the study searches."""
    return [
        name
        for name, domain in spec.space.params.items()
        if isinstance(domain, Range) or (not isinstance(domain, Fixed) and len(domain.choices) > 1)
    ]


def _alone(spec: StudySpec) -> str | None:
    """Which optimizer keeps the study's trials apart, and why."""
    for name in named.optimizers(spec.space, spec.given_recipes()):
        known = optimizer_info(name, "optimizer").known
        if known.alone is not None:
            return f"{name} {known.alone}"
    return None
