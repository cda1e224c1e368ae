"""What `lrsearch check` does to prove that a script can be resumed to the last bit.

It imports no torch: it compares what the script's processes have told.
"""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

#: Names that `Kept.digests` gives the random streams begin so.
RANDOM = "random numbers"


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a script has told in one process."""

    #: Metrics of each report, in order; of a run that went on, only its own.
    reports: Sequence[Mapping[str, float]]
    #: `Finished.digests`; empty of a run that was ended before.
    digests: Mapping[str, str]
    #: What the script's hints were, about values that are not kept among others.
    hints: Sequence[str] = ()


class RunOnce(Protocol):
    """Runs the script in a new process, with a recipe of two epochs."""

    def __call__(self, *, save: Path | None = None, resume: Path | None = None) -> Outcome:
        """From `resume`, else from the start, to the end.

        With `save` it is ended at the top of the second epoch, its state in that file.
        """
        ...


@dataclass(frozen=True)
class Proof:
    """Whether an interrupted trial of a script agrees with an undisturbed one to the last bit."""

    exact: bool
    #: Names of what differs: reports, kept objects, random numbers.
    differs: tuple[str, ...]
    #: One line for people, with what to add to the script.
    line: str


def prove(run_once: RunOnce, folder: Path) -> Proof:
    """Two epochs straight, against one, its state put back in a new process, and one more.

    The state is written into `folder`, and deleted. What `run_once` raises is raised.
    """
    state = folder / "proof.state"
    straight = run_once()
    try:
        first = run_once(save=state)
        resumed = run_once(resume=state)
    finally:
        state.unlink(missing_ok=True)
    count = len(first.reports)
    if not (straight.reports and straight.digests and resumed.digests):
        return Proof(
            False,
            ("the end",),
            "resume cannot be proved: a run of two epochs came to its end without a report; call "
            "run.report in each epoch",
        )
    if _bits(first.reports) != _bits(straight.reports[:count]):
        return Proof(
            False,
            ("the first epoch",),
            "resume cannot be proved: two runs with one seed differ in their first epoch already; "
            "seed everything from run.seed, or call torch.use_deterministic_algorithms(True)",
        )
    differs = _differing(straight, resumed, count)
    hints = dict.fromkeys([*straight.hints, *resumed.hints])
    return Proof(not differs, differs, _line(differs, [hint for hint in hints if _is_keep(hint)]))


def _differing(straight: Outcome, resumed: Outcome, count: int) -> tuple[str, ...]:
    """What is not equal to the bit, causes before their consequences as far as names tell."""
    found = [
        name
        for name in dict.fromkeys([*straight.digests, *resumed.digests])
        if straight.digests.get(name) != resumed.digests.get(name)
    ]
    if _bits(resumed.reports) != _bits(straight.reports[count:]):
        found.append("reports")
    return tuple(found)


def _bits(reports: Sequence[Mapping[str, float]]) -> list[list[tuple[str, bytes]]]:
    """Equal for equal bits, NaN included."""
    return [
        [(name, struct.pack("<d", value)) for name, value in sorted(each.items())]
        for each in reports
    ]


def _is_keep(hint: str) -> bool:
    return "run.keep(" in hint


def _line(differs: Sequence[str], hints: Sequence[str]) -> str:
    if not differs:
        return (
            "resume is exact: two epochs equal one, put back in a new process, and one more, "
            "to the last bit"
        )
    shown = ", ".join(differs[:4]) + (f" and {len(differs) - 4} more" if differs[4:] else "")
    return f"resume is approximate: after it {shown} differ; {_remedy(differs, hints)}"


def _remedy(differs: Sequence[str], hints: Sequence[str]) -> str:
    if hints:
        return "; ".join(hints[:3])
    if all(name.startswith(RANDOM) or name == "reports" for name in differs):
        return (
            "something draws random numbers from a state that is not kept; write "
            "run.keep(generator=generator) for a generator out of the loop's sight, and "
            "persistent_workers=False for a loader whose workers draw"
        )
    return (
        "something that the loop carries from epoch to epoch is not kept; write "
        "NAME = run.keep(NAME=NAME) above the loop, and where it changes"
    )
