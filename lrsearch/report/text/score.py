"""A value of the objective in words, with the other metrics beside it."""

from collections.abc import Mapping

from lrsearch.report.model import Report
from lrsearch.report.text.format import number


def score(report: Report, value: str, metrics: Mapping[str, float | None] | None) -> str:
    """`val_loss 0.0709, accuracy 0.9746`: the objective, then what else was measured."""
    others = {name: v for name, v in (metrics or {}).items() if name != report.metric}
    known = [f", {name} {number(v)}" for name, v in others.items() if v is not None]
    return f"{report.metric} {value}{''.join(known)}"
