"""Which printed line has the validation metric, and the pattern that reads its number."""

import ast
import io
import re
from contextlib import redirect_stdout
from pathlib import Path

import pytest
import scripts
from hypothesis import given
from hypothesis import strategies as st

from lrsearch.starter.messages import printed_lines
from lrsearch.starter.metrics import metrics
from lrsearch.starter.source import Source


def found(text):
    return metrics(printed_lines(Source(path=Path("script.py"), text=text, tree=ast.parse(text))))


@pytest.mark.parametrize(
    ("text", "name", "pattern"),
    [
        (scripts.WORDS, "val_loss", r"valid loss +(\S+)"),
        (scripts.DIGITS, "test_loss", r"Test set: Average loss: ([-+.\w]+)"),
        (scripts.AUTOENCODER, "test_loss", r"Test set loss: (\S+)"),
        (scripts.TRANSFORMER, "val_loss", r"val loss (\S+)"),
        (scripts.CLICK, "val_loss", r"val_loss=(\S+)"),
        (scripts.FIRE, "val_accuracy", r"valid_acc (\S+)"),
        (scripts.HYDRA, "val_loss", r"validation loss (\S+)"),
    ],
)
def test_the_likeliest_metric_is_that_of_the_validation(text, name, pattern):
    best = found(text)[0]
    assert (best.name, best.pattern) == (name, pattern)
    assert best.is_sure
    assert best.direction == ("maximize" if "acc" in name else "minimize")


@pytest.mark.parametrize("text", [scripts.PICTURES, scripts.FINE_TUNE])
def test_where_nothing_says_validation_it_is_a_guess(text):
    assert not found(text)[0].is_sure


@pytest.mark.parametrize("text", ["print('hello')", "print(x)", "print(f'epoch {epoch}')", "pass"])
def test_a_script_that_prints_no_metric_has_none(text):
    assert found(text) == []


def test_a_metric_printed_once_at_the_end_comes_after_that_of_each_epoch():
    text = "for epoch in range(3):\n    print(f'dev loss {a}')\nprint(f'validation loss {b}')"
    assert [metric.source for metric in found(text)] == ["a", "b"]


def test_a_line_of_each_batch_comes_after_that_of_each_epoch():
    text = """
def validate():
    for batch in loader:
        print(f"val loss so far {running}")
    print(f"val loss {mean}")
for epoch in range(3):
    validate()
"""
    assert [metric.source for metric in found(text)] == ["mean", "running"]


def test_a_pattern_is_as_long_as_it_must_be_to_match_no_other_line():
    text = """
for epoch in range(3):
    print(f"train: loss {a:.3f}")
    print(f"val: loss {b:.3f}")
"""
    best = found(text)[0]
    assert best.source == "b"
    assert re.search(best.pattern, "val: loss 0.250")[1] == "0.250"
    assert not re.search(best.pattern, "train: loss 0.250")


def test_the_step_in_front_of_a_metric_is_read_too():
    best = found(scripts.TRANSFORMER)[0]
    line = "step 250: train loss 4.1, val loss 4.25"
    assert re.search(f"{best.step}.*{best.pattern}", line).groups() == ("250", "4.25")


VALUES = {"epoch": 3, "loss": 0.731, "acc": 0.25, "t": 12.0}
TEXTS = st.sampled_from(
    ["epoch ", " | ", "val loss ", "valid acc: ", ", time=", "(", ") ", "a{{b}} ", "\n", "50 % "]
)
HOLES = st.tuples(
    st.sampled_from(list(VALUES)), st.sampled_from(["", ":.4f", ":8.3f", ":<9.2f", ":g"])
)


@given(st.lists(st.one_of(TEXTS, HOLES), min_size=1, max_size=8), st.sampled_from("f.%"))
def test_every_pattern_reads_the_number_that_python_prints(parts, style):
    """The line is really printed, by an f-string, by `format` or by `%`, and the pattern tried."""
    names = [part[0] for part in parts if not isinstance(part, str)]
    values = ", ".join(names)
    if style == "f":
        body = "".join(p if isinstance(p, str) else f"{{{p[0]}{p[1]}}}" for p in parts)
        call = f"print(f{body!r})"
    elif style == ".":
        body = "".join(p if isinstance(p, str) else f"{{{p[1]}}}" for p in parts)
        call = f"print({body!r}.format({values}))"
    else:
        body = "".join(
            p.replace("{{", "{").replace("}}", "}").replace("%", "%%")
            if isinstance(p, str)
            else "%" + (p[1].lstrip(":").replace("<", "-") or "s")
            for p in parts
        )
        call = f"print({body!r} % ({values}{',' if names else ''}))"
    printed = io.StringIO()
    with redirect_stdout(printed):
        exec(call, dict(VALUES))
    for metric in found(f"for epoch in range(2):\n    {call}"):
        output = printed.getvalue().split("\n")
        read = [match for line in output if (match := re.search(metric.pattern, line))]
        assert read, (call, metric.pattern, output)
        if names.count(metric.source) == 1:
            assert [float(match[1]) for match in read] == [
                pytest.approx(VALUES[metric.source], abs=0.01)
            ], (call, metric.pattern)
