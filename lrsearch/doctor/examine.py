"""Everything that is looked at, in the order in which it is told."""

import os
from collections.abc import Iterator
from pathlib import Path

from lrsearch.doctor.devices import devices
from lrsearch.doctor.findings import Finding
from lrsearch.doctor.machine import completion, disk, limits
from lrsearch.doctor.packages import optional_parts, versions
from lrsearch.doctor.storage import storage


def examine(option: str | None) -> Iterator[Finding]:
    """Look at this machine and at the database that `option`, `--storage`, names."""
    yield from versions()
    yield from devices()
    yield from storage(option)
    yield from disk(option)
    yield from limits()
    yield from optional_parts()
    yield from completion(os.environ, Path.home())


def line_of(finding: Finding) -> str:
    """State, what was found, and what to do."""
    advice = f": {finding.advice}" if finding.advice else ""
    return f"  {finding.state:<8} {finding.text}{advice}"


def verdict(findings: list[Finding]) -> str:
    """How many problems and notes there are."""
    counts = {
        kind: sum(finding.state == kind for finding in findings) for kind in ("problem", "note")
    }
    said = [f"{count or 'no'} {kind}{'' if count == 1 else 's'}" for kind, count in counts.items()]
    return ", ".join(said)
