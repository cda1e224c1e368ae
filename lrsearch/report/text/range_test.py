"""What people read of LR range tests."""

from collections.abc import Sequence

from lrsearch.range_test.analysis import RangeTest, Spread
from lrsearch.report.rows import OptimizerRangeTest
from lrsearch.report.text.format import EMPTY, learning_rate, number
from lrsearch.report.text.grid import Grid

COLUMNS = ("optimizer", "window", "edge", "lowest / 10", "valley", "steepest", "seeds")
#: What the columns of a report's table hold.
RANGE_TEST_WORDS = (
    "A range test trains a fresh model while the learning rate rises. The window holds the rates "
    "that most trials are drawn from. Edge is where the loss has climbed back by half of its "
    "fall, lowest / 10 a tenth of the learning rate with the lowest loss, valley the middle of the "
    "longest fall, and steepest the learning rate at which the loss falls the fastest. Each is the "
    "median over the seeds, and in brackets stand the lowest and the highest seed."
)


def range_test_text(results: Sequence[RangeTest]) -> str:
    """`lrsearch range-test` for people: a row for each optimizer, in lr of torch's units."""
    grid = Grid(columns=COLUMNS, rows=tuple(_row(r.name, r, f"none: {r.reason}") for r in results))
    return grid.text()


def range_test_table(tests: Sequence[OptimizerRangeTest]) -> Grid:
    """Of each optimizer the window, and what was read from its ramps."""
    rows = tuple(_row(test.optimizer, test.parsed, _no_window(test)) for test in tests)
    return Grid(columns=COLUMNS, rows=rows)


def window_line(test: OptimizerRangeTest) -> str:
    """A range test of a study in one line."""
    name = f"range test of {test.optimizer}"
    window = None if test.parsed is None else test.parsed.window
    if window is not None:
        low, high = (learning_rate(lr) for lr in window)
        return f"{name}: lr {low} to {high}"
    return f"{name}: no window, {test.reason or test.state}"


def _row(optimizer: str, result: RangeTest | None, no_window: str) -> tuple[str, ...]:
    if result is None:
        return (optimizer, no_window, *[EMPTY] * 5)
    window = " to ".join(number(lr, 2) for lr in result.window or ())
    readings = (result.edge, result.min_over_10, result.valley, result.steepest)
    seeds = str(len(result.ramps))
    return (optimizer, window or no_window, *(_spread(each) for each in readings), seeds)


def _no_window(test: OptimizerRangeTest) -> str:
    return f"none: {test.reason}" if test.reason else test.state


def _spread(spread: Spread | None) -> str:
    """`0.05 (0.04 to 0.07)`: the median, and the lowest and highest seed."""
    if spread is None:
        return EMPTY
    middle = number(spread.median, 2)
    if spread.low == spread.high:
        return middle
    return f"{middle} ({number(spread.low, 2)} to {number(spread.high, 2)})"
