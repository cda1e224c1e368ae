"""What people read and see of LR range tests."""

from collections.abc import Mapping, Sequence
from typing import Any

from lrsearch.range_test.analysis import RangeTest
from lrsearch.report.model import RangeRow
from lrsearch.report.text import page


def range_test_text(results: Sequence[RangeTest]) -> str:
    """`lrsearch range-test` for people: a row for each optimizer, in lr of torch's units."""
    grid = page.range_tests(
        [
            RangeRow(optimizer=result.name, state="complete", reason=result.reason, result=result)
            for result in results
        ]
    )
    cells = [grid.columns, *grid.rows]
    widths = [max(len(row[i]) for row in cells) for i in range(len(grid.columns))]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in cells]
    return "\n".join(lines)


def window_line(test: Mapping[str, Any]) -> str:
    """A range test of a study, as `summarize` tells it."""
    name = f"range test of {test['optimizer']}"
    if test["window"] is not None:
        low, high = test["window"]
        return f"{name}: lr {low:.3g} to {high:.3g}"
    return f"{name}: no window, {test['reason'] or test['state']}"
