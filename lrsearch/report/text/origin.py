"""What people read of a study that took over from others."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lrsearch.report.text.format import number
from lrsearch.study.extend_transaction import Extension


def budget_text(study: Mapping[str, Any]) -> str:
    """Each budget, used and total."""
    return ", ".join(
        f"{name} {number(part['used'])} of {number(part['total'])}"
        for name, part in study["budget"].items()
    )


def origin_text(origin: Mapping[str, Any] | None) -> list[str]:
    """A line for each study that another one took over from when it was created."""
    if origin is None:
        return []
    lines = []
    if extended := origin["extended"]:
        lines.append(
            f"extends {extended['study']}: {extended['taken']} trials taken over, "
            f"{extended['left']} left behind outside the space"
        )
    for lesson in origin["warm_start"]:
        parts = [f"{lesson['enqueued']} recipes enqueued"]
        if lesson["other"]:
            parts.append(f"its trials tell the sampler nothing ({lesson['other']})")
        else:
            parts.append(f"{lesson['known']} trials told to the sampler")
        for key, text in (("outside", "outside the space"), ("unusable", "of no use")):
            parts += [f"{lesson[key]} {text}"] if lesson[key] else []
        lines.append(f"warm start from {lesson['study']}: {', '.join(parts)}")
    return lines


def extension_text(done: Extension, study: Mapping[str, Any], file: Path) -> str:
    """What `lrsearch study extend` has done, and how to go on."""
    if done.old is None:
        lines = [f"study {done.name} goes on with the file's budget; nothing else had changed"]
    else:
        lines = [
            f"study {done.name} extends {done.old}: {done.taken} trials taken over, {done.left} "
            f"left behind outside its space",
            f"budget: {budget_text(study)} (the trials taken over count)",
        ]
        if done.interrupted:
            lines.append(f"{done.interrupted} interrupted trials start anew")
        if done.waiting:
            lines.append(f"{done.waiting} enqueued recipes wait for a trial")
        if done.known:
            lines.append(f"{done.known} trials of other studies are known to its sampler")
    lines.append(f"go on with: lrsearch run {file}")
    return "\n".join(lines)
