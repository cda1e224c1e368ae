"""The table of what each export format can express is what the code says."""

from pathlib import Path

from lrsearch.catalog.optimizers import OPTIMIZERS
from lrsearch.catalog.schedules import SCHEDULES
from lrsearch.export import TARGETS

PAGE = Path(__file__).parents[2] / "docs" / "howto" / "export.md"


def written():
    """Row to whether each format expresses it."""
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    start = lines.index("### What each format expresses") + 2
    header, _, *rows = [
        line.strip("|").split("|") for line in lines[start : lines.index("", start)]
    ]
    assert [cell.strip(" `") for cell in header[1:]] == [target.format for target in TARGETS]
    return {row[0].strip(" `"): [cell.strip() == "yes" for cell in row[1:]] for row in rows}


def test_the_table_of_formats_is_what_they_express():
    expected = {name: [name in target.optimizers for target in TARGETS] for name in OPTIMIZERS}
    expected |= {name: [name in target.schedules for target in TARGETS] for name in SCHEDULES}
    expected["parameter groups"] = [target.has_groups for target in TARGETS]
    for precision in ("bf16", "fp16"):
        expected[f"precision {precision}"] = [precision in t.precisions for t in TARGETS]
    expected["averaged weights"] = [False] * len(TARGETS)
    assert written() == expected
