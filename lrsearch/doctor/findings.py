"""What was looked at, and what to do about it."""

from dataclasses import asdict, dataclass
from typing import Literal

from lrsearch.plain_data import Document

#: `problem`: something fails here. `note`: it works, and this is good to know.
State = Literal["ok", "note", "problem"]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that was looked at."""

    #: The heading under which it stands.
    area: str
    state: State
    #: What was found.
    text: str
    #: What to do; empty if there is nothing to do.
    advice: str = ""

    def to_dict(self) -> Document:
        return asdict(self)


def ok(area: str, text: str) -> Finding:
    return Finding(area=area, state="ok", text=text)


def note(area: str, text: str, advice: str = "") -> Finding:
    return Finding(area=area, state="note", text=text, advice=advice)


def problem(area: str, text: str, advice: str) -> Finding:
    return Finding(area=area, state="problem", text=text, advice=advice)


def in_units(count: float) -> str:
    """Bytes in the largest unit of which there is at least one: `3.2 GiB`."""
    units = ("B", "KiB", "MiB", "GiB", "TiB")
    for unit in units[:-1]:
        if count < 1024:
            return f"{count:.3g} {unit}"
        count /= 1024
    return f"{count:.3g} {units[-1]}"
