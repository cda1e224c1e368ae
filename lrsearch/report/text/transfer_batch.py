"""Another batch for the long run, in words."""

from lrsearch.report.text.format import amount
from lrsearch.transfer.batch import Batch

#: Of ten cases that were measured, the rule missed in one, by so much.
MISSES = "the rule misses in about one case of ten (one measured by 79 % in loss)"
#: From this factor between batches on, fewer steps at equal samples cost loss by themselves.
COSTLY = 8


def rule_line(batch: Batch, longest: int, unit: str) -> list[str]:
    """Before anything is trained: what is measured, and what for."""
    return [
        f"batch {batch.short} in short runs, {batch.long} in long ones: one more run of {longest} "
        f"{unit} measures the gradient noise, which tells how lr moves with the batch"
    ]


def batch_line(batch: Batch, longest: int, unit: str) -> list[str]:
    """What the noise says of the long runs' learning rate; nothing until it is measured."""
    if batch.noise_scale is None:
        return rule_line(batch, longest, unit)
    lines = [
        f"batch {batch.short} -> {batch.long}: a gradient noise scale of "
        f"{amount(batch.noise_scale)} samples, measured in a run of {longest} {unit}, gives lr x "
        f"{batch.factor:.3g}; {MISSES}, so the long runs decide"
    ]
    if batch.long >= COSTLY * batch.short:
        lines.append(
            f"batch {batch.long} takes {batch.long / batch.short:.3g} times fewer steps in as many "
            f"epochs, which costs loss at any lr"
        )
    return lines
