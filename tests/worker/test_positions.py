"""Where a trial of a process stands, as its checkpoint keeps it."""

import json
import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrsearch.worker.user_process.position import Position

COUNTS = st.integers(-1, 10**9)
AMOUNTS = st.floats(0, 1e9)
POSITIONS = st.builds(
    Position,
    step=COUNTS,
    epochs_done=AMOUNTS,
    validated=COUNTS,
    validated_at=COUNTS,
    seconds=AMOUNTS,
    start_loss=AMOUNTS,
    rungs=st.dictionaries(COUNTS, COUNTS),
)


@given(POSITIONS)
def test_a_position_survives_json(position):
    assert Position.from_dict(json.loads(json.dumps(position.to_dict()))) == position


def test_a_loss_that_is_not_known_survives_json():
    known = Position(step=1, epochs_done=1, validated=1, validated_at=1, seconds=1)
    found = Position.from_dict(json.loads(json.dumps(known.to_dict())))
    assert math.isnan(found.start_loss)
    assert replace(found, start_loss=0.0) == replace(known, start_loss=0.0)


@pytest.mark.parametrize(
    "changes",
    [{"rungs": [[1]]}, {"rungs": None}, {"rungs": [["a", 1]]}, {"other": 1}, {"step": ...}],
    ids=str,
)
def test_what_was_never_written_is_refused(changes):
    fields = Position(step=1, epochs_done=1, validated=1, validated_at=1, seconds=1).to_dict()
    kept = {key: value for key, value in {**fields, **changes}.items() if value is not ...}
    with pytest.raises((ValueError, KeyError, TypeError)):
        Position.from_dict(kept)
