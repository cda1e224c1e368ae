"""How often the intervals of the LR basin hold the truth, and how good safe learning rates are.

Made-up studies: learning rates over four decades, losses on a curve whose best learning rate and
widths are known, noise of 8 % upwards and downwards, and every tenth trial with twice its loss, as
for reasons of its own. Nothing is trained. Printed side by side for each number of trials: how
often the 95 % interval of the best learning rate and of the widths at 1 % and 5 % holds the true
one; the width that is told, as a share of the true one (median); and how much worse than the best
loss the worst learning rate is that is called safe within 5 % (median, in percent; 5 is right):

    python benchmarks/lr_basin.py --studies 100
"""

import argparse
import math
import random
import sys
from collections.abc import Callable
from dataclasses import dataclass
from statistics import fmean, median

from lrsearch.advice.lr_basin import Basin, fit_basin

#: Ended trials of an optimizer.
TRIALS = (15, 25, 40, 60, 100)
#: Decades below and above the best learning rate that trials cover.
REACH = 2.0
NOISE, SPOILED = 0.08, 0.1
#: Where the truth is read, steps per decade.
FINE = 2000

#: Log loss above the lowest, of decades from the best learning rate.
Shape = Callable[[float], float]
SHAPES: dict[str, Shape] = {
    "parabola": lambda apart: 0.5 * apart**2,
    "steep parabola": lambda apart: 2.0 * apart**2,
    "slope before a wall": lambda apart: 0.2 * -apart if apart < 0 else 3.0 * apart,
    "flat before a wall": lambda apart: 0.1 * max(0.0, -1.0 - apart) + 4.0 * max(0.0, apart - 0.5),
}


@dataclass(frozen=True, kw_only=True)
class Truth:
    """Of a shape: the learning rates of the lowest loss, and those at most so much worse."""

    #: In decades; a range where the bottom is flat.
    best: tuple[float, float]
    small: tuple[float, float]
    large: tuple[float, float]


def truth(shape: Shape) -> Truth:
    places = [step / FINE for step in range(int(-REACH * FINE), int(REACH * FINE) + 1)]

    def within(worse: float) -> tuple[float, float]:
        inside = [place for place in places if shape(place) <= math.log1p(worse) + 1e-12]
        return inside[0], inside[-1]

    return Truth(best=within(0.0), small=within(0.01), large=within(0.05))


def study(shape: Shape, trials: int, seed: int) -> Basin | None:
    draw = random.Random(seed)
    apart = [draw.uniform(-REACH, REACH) for _ in range(trials)]
    losses = [
        0.1 * math.exp(shape(a) + draw.gauss(0, NOISE)) * (2 if draw.random() < SPOILED else 1)
        for a in apart
    ]
    return fit_basin([10**a for a in apart], losses)


@dataclass(frozen=True, kw_only=True)
class Found:
    """How a study's basin compares with the truth."""

    best: bool
    small: bool
    large: bool
    #: The told width at 5 % by the true one.
    width: float
    #: How much worse the worst learning rate is that is called safe within 5 %.
    worse: float


def compared(basin: Basin, shape: Shape, true: Truth) -> Found:
    low, high = (math.log10(end) for end in (basin.best.low, basin.best.high))
    near, far = basin.safe
    wide = true.large[1] - true.large[0]
    ends = (math.log10(far.low), math.log10(far.high))
    return Found(
        best=low <= true.best[1] and high >= true.best[0],
        small=near.decades.low <= true.small[1] - true.small[0] <= near.decades.high,
        large=far.decades.low <= wide <= far.decades.high,
        width=far.decades.value / wide,
        worse=100 * math.expm1(max(map(shape, ends))),
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "--studies", type=int, default=100, help="of each shape and number of trials"
    )
    arguments = parser.parse_args()
    print(f"nominal coverage 95 %; {arguments.studies} studies each, {sys.argv[0]}")
    heads = ("best lr", "width 1 %", "width 5 %", "told/true", "worst safe")
    print(f"{'shape':<22}{'trials':>7}" + "".join(f"{head:>12}" for head in heads))
    for name, shape in SHAPES.items():
        true = truth(shape)
        for trials in TRIALS:
            basins = [study(shape, trials, seed) for seed in range(arguments.studies)]
            found = [compared(basin, shape, true) for basin in basins if basin is not None]
            shares = [
                fmean(values)
                for values in zip(*((f.best, f.small, f.large) for f in found), strict=True)
            ]
            cells = [f"{100 * share:.0f} %" for share in shares]
            cells.append(f"{median(f.width for f in found):.2f}")
            cells.append(f"{median(f.worse for f in found):.1f} %")
            print(f"{name:<22}{trials:>7}" + "".join(f"{cell:>12}" for cell in cells), flush=True)


if __name__ == "__main__":
    main()
