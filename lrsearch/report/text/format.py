"""Numbers and durations as people read them."""


def rough_duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def number(value: float) -> str:
    """With one decimal, but for a whole number."""
    return f"{value:.1f}".removesuffix(".0")


#: Numbers with more decimals than this are written with an exponent.
MOST_DECIMALS = 6
#: Stands in a cell for what is not there.
EMPTY = "\u2013"


def duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.3g} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
