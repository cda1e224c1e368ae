"""The portfolio that lrsearch comes with is what benchmarks/portfolio derives."""

import json
import math
import sys
from pathlib import Path

import command

from lrsearch.space.portfolio.default import DEFAULT

SCRIPTS = Path(__file__).parents[2] / "benchmarks" / "portfolio"
sys.path.insert(0, str(SCRIPTS))

import grid  # noqa: E402 - benchmarks are scripts, not a package


def test_the_shipped_portfolio_is_the_derived_order(tmp_path):
    ended = command.run_script(SCRIPTS / "derive.py", "--json", folder=tmp_path, seconds=120)
    assert ended.code == 0, ended.err
    document = json.loads(ended.out)
    fields = {entry.name: entry.fields for entry in grid.grid()}
    keys = ("optimizer", "schedule", "warmup")
    shipped = [{key: each.to_dict()[key] for key in keys} for each in DEFAULT]
    assert shipped == [fields[name.removesuffix(grid.AT)] for name in document["order"]]
    follow = [grid.BATCH_SIZE if name.endswith(grid.AT) else None for name in document["order"]]
    assert [each.batch_size for each in DEFAULT] == follow
    for method in ("derived, task left out", "textbook, then draws", "draws"):
        for values in document[method].values():
            assert len(values) == len(document["tasks"])
            assert all(math.isfinite(value) for value in values)
