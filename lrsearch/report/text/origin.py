"""What people read of a study that took over from others."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lrsearch.plain_data import Fields
from lrsearch.report.cost import BudgetPart
from lrsearch.report.text.format import amount, counted, duration

if TYPE_CHECKING:  # it loads Optuna
    from lrsearch.study.extend_transaction import Extension


@dataclass(frozen=True, kw_only=True)
class Extended:
    """What a study took over from the one that it extends, as stored with it."""

    study: str
    taken: int
    left: int


@dataclass(frozen=True, kw_only=True)
class WarmStart:
    """What an earlier study gave a new one, as stored with it."""

    study: str
    enqueued: int
    known: int
    outside: int
    unusable: int
    #: Why its values mean nothing here; empty where they do.
    other: str


def budget_text(budget: Sequence[BudgetPart], unit: str = "epochs") -> str:
    """Each budget, used and total; epochs are called by the unit of the study's length."""
    return ", ".join(_part(part, unit) for part in budget)


def _part(part: BudgetPart, unit: str) -> str:
    form = duration if part.name == "time" else amount
    name = unit if part.name == "epochs" else part.name
    return f"{name} {form(part.used)} of {form(part.total)}"


def origin_text(origin: Fields | None) -> list[str]:
    """A line for each study that another one took over from when it was created."""
    stored = origin or {}
    extended = stored.get("extended")
    lessons = stored.get("warm_start") or ()
    lines = [] if not extended else [_extended(Extended(**extended))]
    return [*lines, *(_warm_start(WarmStart(**lesson)) for lesson in lessons)]


def _extended(found: Extended) -> str:
    return f"extends {found.study}: {_taken(found.taken, found.left)} outside the space"


def _taken(taken: int, left: int) -> str:
    return f"{counted(taken, 'trial')} taken over, {left} left behind"


def _warm_start(lesson: WarmStart) -> str:
    parts = [f"{counted(lesson.enqueued, 'recipe')} enqueued"]
    if lesson.other:
        parts.append(f"its trials tell the sampler nothing ({lesson.other})")
    else:
        parts.append(f"{counted(lesson.known, 'trial')} told to the sampler")
    parts += [f"{lesson.outside} outside the space"] if lesson.outside else []
    parts += [f"{lesson.unusable} of no use"] if lesson.unusable else []
    return f"warm start from {lesson.study}: {', '.join(parts)}"


def extension_text(done: "Extension", budget: Sequence[BudgetPart], file: Path) -> str:
    """What `lrsearch study extend` has done, and how to go on."""
    if done.old is None:
        lines = [f"study {done.name} goes on with the file's budget; nothing else had changed"]
    else:
        lines = [
            f"study {done.name} extends {done.old}: {_taken(done.taken, done.left)} outside its "
            f"space",
            f"budget: {budget_text(budget)} (the trials taken over count)",
        ]
        if done.interrupted:
            lines.append(f"interrupted and started anew: {counted(done.interrupted, 'trial')}")
        if done.waiting:
            lines.append(f"waiting for a trial: {counted(done.waiting, 'enqueued recipe')}")
        if done.known:
            lines.append(f"known to its sampler: {counted(done.known, 'trial')} of other studies")
    lines.append(f"go on with: lrsearch run {file}")
    return "\n".join(lines)
