"""What waits for the database is lost by nothing, and written in order."""

import math
from collections import deque
from threading import Thread

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_studies import curve_row

from lrsearch.worker.leases import curve_buffer
from lrsearch.worker.leases.curve_buffer import CurveBuffer

pytestmark = pytest.mark.both_databases


@pytest.fixture(autouse=True)
def _spill_soon(monkeypatch):
    monkeypatch.setattr(curve_buffer, "MOST_ROWS", 5)


def numbers(rows):
    return [row.validation for row in rows]


def full_disk(waiting):
    """Its file takes half of a line, and no more."""

    class Full:
        def __init__(self, file):
            self.file, self.written = file, False

        def __getattr__(self, name):
            return getattr(self.file, name)

        def write(self, data):
            if self.written:
                raise OSError(28, "No space left on device")
            self.written = True
            return self.file.write(bytes(data[:50]))

    new_file = waiting._new_file
    waiting._new_file = lambda: Full(new_file())
    if waiting._file is not None:
        waiting._file = Full(waiting._file)


STEPS = st.one_of(
    st.tuples(st.just("add"), st.integers(1, 13)),
    st.tuples(st.just("acknowledge"), st.floats(0, 1)),
    st.tuples(st.sampled_from(["pending", "full", "room"]), st.just(0)),
)


@settings(max_examples=200)
@given(steps=st.lists(STEPS, max_size=25), first=st.integers(1, 3))
def test_any_order_of_things_loses_nothing_doubles_nothing_and_keeps_the_order(steps, first):
    waiting, expected, number = CurveBuffer(), deque(), first
    new_file = waiting._new_file
    for what, value in steps:
        if what == "add":
            for _ in range(value):
                row = curve_row(number, val_loss=1 / number)
                waiting.add(row)
                expected.append(row)
                number += 1
        elif what == "acknowledge" and expected:
            through = expected[int(value * (len(expected) - 1))].validation
            waiting.acknowledge(through)
            while expected and expected[0].validation <= through:
                expected.popleft()
        elif what == "full":
            full_disk(waiting)
        elif what == "room":
            waiting._new_file = new_file
            waiting._file = getattr(waiting._file, "file", waiting._file)
        assert waiting.pending() == list(expected)
        assert len(waiting) >= len(expected)
    waiting.acknowledge(number)
    assert (waiting.pending(), len(waiting)) == ([], 0)
    waiting.close()


def test_memory_holds_so_many_rows_and_a_file_the_rest():
    waiting = CurveBuffer()
    for number in range(1, 24):
        waiting.add(curve_row(number))
        assert len(waiting._rows) <= 5
    assert waiting._size > 0
    assert len(waiting) == 23
    waiting.acknowledge(20)
    assert numbers(waiting.pending()) == [21, 22, 23]


def test_what_was_acknowledged_stays_to_be_written_again(tmp_path):
    waiting = CurveBuffer(tmp_path / "spill")
    rows = [curve_row(number) for number in range(1, 9)]
    for row in rows:
        waiting.add(row)
    file = waiting._file
    waiting.acknowledge(6)
    assert waiting.pending() == rows[6:]
    assert len(waiting) == 2
    waiting.acknowledge(8)
    assert (waiting.pending(), len(waiting)) == ([], 0)
    assert waiting.everything() == rows
    assert waiting.taken == 8
    waiting.close()
    assert file.closed
    assert list((tmp_path / "spill").iterdir()) == []


def test_a_file_has_no_name_that_a_killed_worker_would_leave(tmp_path):
    waiting = CurveBuffer(tmp_path)
    for number in range(1, 9):
        waiting.add(curve_row(number))
    assert waiting._file is not None
    assert list(tmp_path.iterdir()) == []


def test_numbers_that_are_not_finite_survive_the_file():
    waiting = CurveBuffer()
    wild = [math.inf, -math.inf, math.nan, 5e-324, 1e308, -0.0, 1 / 3, None]
    rows = [
        curve_row(number, val_loss=value, metrics={"mä": value})
        for number, value in enumerate(wild, start=1)
    ]
    for row in rows:
        waiting.add(row)
    assert waiting._file is not None
    assert repr(waiting.pending()) == repr(rows)


def test_rows_stay_in_memory_when_the_disk_is_full_and_one_line_says_so(caplog):
    waiting = CurveBuffer()
    full_disk(waiting)
    for number in range(1, 41):
        waiting.add(curve_row(number))
    assert numbers(waiting.pending()) == list(range(1, 41))
    assert caplog.messages == [
        "curve rows stay in memory, as the disk takes none: [Errno 28] No space left on device"
    ]


def test_rows_stay_in_memory_when_the_folder_cannot_be_made(tmp_path, caplog):
    (tmp_path / "file").write_text("")
    waiting = CurveBuffer(tmp_path / "file" / "spill")
    for number in range(1, 9):
        waiting.add(curve_row(number))
    assert numbers(waiting.pending()) == list(range(1, 9))
    assert len(caplog.messages) == 1


def test_threads_that_add_and_write_at_once_lose_nothing():
    waiting, written = CurveBuffer(), {}

    def train():
        for number in range(1, 2001):
            waiting.add(curve_row(number))

    def keep():
        while not written or max(written) < 2000:
            if rows := waiting.pending():
                written.update({row.validation: row for row in rows})
                waiting.acknowledge(rows[-1].validation)

    threads = [Thread(target=train), *(Thread(target=keep) for _ in range(2))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert list(written.values()) == [curve_row(number) for number in range(1, 2001)]
    assert waiting.pending() == []
