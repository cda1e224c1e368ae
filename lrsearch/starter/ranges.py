"""Ranges around what a script has by default."""

from lrsearch.plain_data import Unchecked
from lrsearch.user_input import is_number

#: A learning rate is sought in three decades around the script's own.
LR_FACTOR = 30.0
#: Where the script does not say one: what `script` has in the catalog.
ANY_LR = (1e-5, 1.0)


def lr_range(default: Unchecked) -> tuple[float, float]:
    """Low and high around a script's own learning rate, each with one digit."""
    if not is_number(default) or default <= 0:
        return ANY_LR
    return _one_digit(default / LR_FACTOR), _one_digit(default * LR_FACTOR)


def _one_digit(value: float) -> float:
    return float(f"{value:.0e}")


def written(value: float) -> str:
    """A number as YAML 1.1 reads it back, and as people write it: `1e-5`, `0.03`, `600`."""
    if value == int(value) and abs(value) < 1e6:
        return str(int(value))
    if 1e-3 <= abs(value) < 1e6:
        return f"{value:g}"
    mantissa, _, exponent = f"{value:g}".partition("e")
    return f"{mantissa}e{int(exponent)}" if exponent else mantissa
