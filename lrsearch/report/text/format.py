"""Numbers, amounts and durations as people read them: one way for each, everywhere."""

import math

from lrsearch.spec.study_spec import StudySpec

#: Stands for what is not there.
EMPTY = "\u2013"
#: Numbers with more decimals than this are written with an exponent.
MOST_DECIMALS = 6


def number(value: float | None, digits: int = 4) -> str:
    """A measured value: `0.0709`; EMPTY for None."""
    return EMPTY if value is None else f"{value:.{digits}g}"


def learning_rate(value: float) -> str:
    """`0.00908`"""
    return number(value, 3)


def signed(value: float) -> str:
    """A difference: `+0.00572`."""
    return f"{value:+.3g}"


def amount(value: float) -> str:
    """Something counted, such as epochs: one decimal, and none for a whole number."""
    return f"{value:.1f}".removesuffix(".0")


def counted(count: int, noun: str) -> str:
    """`1 trial`, `3 trials`"""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def length_unit(spec: StudySpec) -> str:
    """What trainings are counted in.

    Epochs; steps of a command whose length is in steps, and whole runs where it is not said.
    """
    if not spec.knows_length:
        return "runs"
    return "steps" if spec.program == "command" and spec.steps is not None else "epochs"


def duration(seconds: float) -> str:
    """`0.53 s`, `45 s`, `12 min`, `2.5 h`"""
    if seconds < 10:
        return f"{seconds:.2g} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def percent(share: float) -> str:
    """`8.3`: a share in per cent; 100 for all but half of one."""
    return f"{100 * share:.2g}" if share < 0.995 else "100"


def mean(value: float, ci95: tuple[float, float] | None) -> str:
    """A mean with half of its interval: `0.0573 ± 0.0064`; alone if there is no interval."""
    if ci95 is None:
        return number(value)
    half = (ci95[1] - ci95[0]) / 2
    if half == 0:
        return f"{number(value)} ± 0"
    decimals = 1 - math.floor(math.log10(half))
    if not 0 <= decimals <= MOST_DECIMALS:
        return f"{number(value)} ± {half:.2g}"
    return f"{value:.{decimals}f} ± {half:.{decimals}f}"
