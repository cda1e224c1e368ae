"""Metrics from printed lines."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrsearch.command.patterns import Pattern, PatternReader
from lrsearch.command.reading import Reading, number_in
from lrsearch.errors import SpecError, TaskError


def reader(output, **patterns):
    parsed = {name: Pattern.parse(name, text, f"report.{name}") for name, text in patterns.items()}
    return PatternReader(output, parsed)


def read(tmp_path, text, **patterns):
    output = tmp_path / "output.log"
    output.write_bytes(text if isinstance(text, bytes) else text.encode())
    return reader(output, **patterns).poll(ended=True)


WORD_MODEL = r"""
| epoch   1 |   200/ 2983 batches | lr 20.00 | ms/batch  9.10 | loss  7.63 | ppl  2058.09
-----------------------------------------------------------------------------------------
| end of epoch   1 | time: 30.12s | valid loss  5.71 | valid ppl   302.45
-----------------------------------------------------------------------------------------
| end of epoch   2 | time: 29.80s | valid loss  5.32 | valid ppl   204.38
"""


def test_each_line_that_matches_is_a_report(tmp_path):
    readings = read(
        tmp_path, WORD_MODEL, val_loss=r"end of epoch +(?P<epoch>\d+).*valid loss +(\S+)"
    )
    assert readings == [
        Reading(metrics={"val_loss": 5.71}, epoch=1.0),
        Reading(metrics={"val_loss": 5.32}, epoch=2.0),
    ]


def test_a_report_is_complete_when_each_pattern_has_matched(tmp_path):
    text = "Epoch 1\nloss: 0.5\nstep 10 acc: 80%\nloss: 0.4\nEpoch 2\nacc: 90%,\nloss: 0.3\n"
    readings = read(
        tmp_path,
        text,
        loss=r"loss: (\S+)",
        acc=r"(?:step (?P<step>\d+) )?acc: (\S+)",
        epoch=r"^Epoch (\d+)",
    )
    assert readings == [
        Reading(metrics={"loss": 0.5, "acc": 80.0}, epoch=1.0, step=10),
        Reading(metrics={"loss": 0.4, "acc": 90.0}, epoch=2.0),
    ]


def test_progress_bars_and_colours_do_not_hide_a_metric(tmp_path):
    text = (
        b"  0%|          | 0/3\r 50%|#####     | 1/3 [00:01]\rval \x1b[1;32m0.25\x1b[0m\r\n"
        b"\x1b]0;title\x07val 0.125\xff"
    )
    assert [r.metrics for r in read(tmp_path, text, v=r"^val ([\d.]+)")] == [
        {"v": 0.25},
        {"v": 0.125},
    ]


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("5.3,", 5.3), ("87%", 87.0), ("87%,", 87.0), ("-1e-3;", -1e-3), ("0.5.", 0.5), ("1.", 1.0),
        (".5", 0.5), ("+2", 2.0), ("tensor(0.5,", 0.5), ("(0.5)", 0.5), ("[3]", 3.0),
        ("inf", float("inf")), ("-Infinity", -float("inf")), ("5E+2|", 500.0), ("n/a", None),
        ("", None), ("1,234.5", None), ("1_000", None), ("5.3s", None), ("1.2.3", None),
        ("%", None), ("0x10", None),
    ],
)  # fmt: skip
def test_numbers_are_read_as_scripts_print_them(text, number):
    assert number_in(text) == number


def test_nan_is_a_number():
    assert str(number_in("nan")) == str(number_in("NaN,")) == "nan"


def test_text_that_is_no_number_is_an_error_with_its_line(tmp_path):
    with pytest.raises(TaskError) as error:
        read(tmp_path, "valid loss | valid ppl\n", val_loss=r"valid loss +(\S+)")
    assert str(error.value) == (
        r"report.val_loss: 'valid loss +(\\S+)' took '|' from the line 'valid loss | valid ppl', "
        "but a number is needed"
    )


@pytest.mark.parametrize(
    ("pattern", "problem"),
    [
        ("valid loss", "has no groups for the metric, but one is needed"),
        (r"(valid|test) loss (\S+)", "has 2 groups"),
        (r"epoch (?P<epoch>\d+)", "has no groups"),
        ("loss (", "is no regular expression"),
        (5, "a regular expression is needed"),
    ],
)
def test_a_pattern_has_one_group_for_its_metric(pattern, problem):
    with pytest.raises(SpecError) as error:
        Pattern.parse("val_loss", pattern, "report.val_loss")
    assert str(error.value).startswith("report.val_loss = ")
    assert problem in str(error.value)


def test_a_group_may_have_the_name_of_the_metric(tmp_path):
    assert read(tmp_path, "b 3\n", loss=r"(a|b) (?P<loss>\d)")[0].metrics == {"loss": 3.0}


def test_where_nothing_matched_the_output_is_shown(tmp_path):
    output = tmp_path / "output.log"
    printed = reader(output, val_loss=r"valid loss +(\S+)")
    assert printed.poll() == []
    assert printed.explain() == r"nothing matched 'valid loss +(\\S+)'; the output is empty"
    output.write_text("hello\n")
    printed.poll()
    assert printed.explain().endswith("the output has: hello")
    output.write_text("hello\nepoch 1 done\nValidation loss: 0.5\nbye 5\n")
    printed.poll()
    assert printed.explain().endswith("the output has: Validation loss: 0.5")


def test_of_several_patterns_those_that_never_matched_are_named(tmp_path):
    output = tmp_path / "output.log"
    output.write_text("loss 1\n")
    printed = reader(output, loss=r"loss (\d)", acc=r"acc (\d)")
    assert printed.poll() == []
    assert printed.explain() == r"nothing matched 'acc (\\d)'; the output has: loss 1"


def test_what_was_there_before_an_interruption_is_passed_over(tmp_path):
    output = tmp_path / "output.log"
    output.write_text("v 1\nv 2\nv 3 and no more of this li")
    printed = reader(output, v=r"^v (\d)")
    printed.skip()
    with output.open("a") as file:
        file.write("\nv 4\n")
    assert [r.metrics["v"] for r in printed.poll()] == [4.0]


lines = st.lists(
    st.one_of(
        st.floats(allow_nan=False).map("val {}".format),
        st.integers(0, 99).map("epoch {}".format),
        st.text(st.characters(exclude_characters="\r\n"), max_size=5).map("é\x1b[31m{}".format),
    ),
    max_size=12,
)
cuts = st.lists(st.integers(0, 400), max_size=8)


@given(lines, st.sampled_from(["\n", "\r\n", "\r"]), cuts)
def test_however_the_bytes_come_the_reports_are_the_same(lines, end, cuts):
    data = end.join(lines).encode()
    patterns = {"v": r"^val (\S+)$", "epoch": r"^epoch (\d+)"}
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "output"
        output.write_bytes(data)
        whole = reader(output, **patterns).poll(ended=True)
        assert [r.metrics["v"] for r in whole] == [
            float(s[4:]) for s in lines if s.startswith("val ")
        ]
        output.unlink()
        growing = reader(output, **patterns)
        found = growing.poll()
        for start, stop in zip([0, *sorted(cuts)], [*sorted(cuts), len(data)], strict=True):
            with output.open("ab") as file:
                file.write(data[start:stop])
            found += growing.poll()
        found += growing.poll(ended=True)
    assert found == whole


#: Lines of public scripts, and the report that the page on commands gives for each.
PUBLIC = [
    (WORD_MODEL, r"end of epoch +(?P<epoch>\d+).*valid loss +(\S+)", [5.71, 5.32]),
    (
        "\nTest set: Average loss: 0.0486, Accuracy: 9842/10000 (98%)\n",
        r"Test set: Average loss: (\S+)",
        [0.0486],
    ),
    (
        "step 250: train loss 1.9601, val loss 2.0666\niter 250: loss 1.9, time 9.1ms, mfu 1.2%\n",
        r"step (?P<step>\d+): .*val loss (\S+)",
        [2.0666],
    ),
    (
        "07/28/2026 - INFO - __main__ - epoch 1: {'accuracy': 0.8578, 'f1': 0.9}\n"
        "07/28/2026 - INFO - __main__ - epoch 2: {'accuracy': 0.8603}\n",
        r"epoch (?P<epoch>\d+): .*'accuracy': (\S+)",
        [0.8578, 0.8603],
    ),
]


@pytest.mark.parametrize(("text", "pattern", "values"), PUBLIC)
def test_patterns_of_public_scripts(tmp_path, text, pattern, values):
    readings = read(tmp_path, text, v=pattern)
    assert [reading.metrics["v"] for reading in readings] == values
