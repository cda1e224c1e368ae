"""Text from outside in Markdown: whoever renders it sees that text, and nothing that it makes."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_reports import made_report, runs_of, trial
from markdown_it import MarkdownIt

from lrsearch.report.page import markdown, page
from lrsearch.report.text.grid import Grid
from lrsearch.shown_text import visible

RENDERER = MarkdownIt("commonmark").enable(["table", "strikethrough"])
#: What makes something in Markdown, often enough to make it by chance.
WORDS = st.lists(
    st.sampled_from(
        [*"\\`*_[]()|~#>+-=!<&:;. \n\ta1", "```", "~~~", "---", "&lt;", "<b>", "](http://x)", "1. "]
    )
).map("".join)
HOSTILE = (
    "<script>alert(1)</script>",
    "[read this](javascript:alert(1))",
    "![](https://evil.example/seen.png)",
    "<https://evil.example>",
    "# Owned",
    "```\n<script>alert(1)</script>",
    "~~~",
    "    code",
    "</details><img src=x onerror=alert(1)>",
    "a | b |\n| --- | --- |",
    "[x]: https://evil.example",
    "&lt;script&gt;",
    "\\",
    "1. one",
    "-\u202e",
)


def seen(text):
    """The text as its reader sees it: on one line, and what would turn it about written out."""
    return visible(" ".join(text.split()))


def rendered(source):
    """The kinds of blocks, and the text of all inline parts, which hold nothing but text."""
    tokens = RENDERER.parse(source)
    inline = [child for token in tokens for child in token.children or ()]
    assert {child.type for child in inline} <= {"text", "text_special"}
    return [token.type for token in tokens], "".join(child.content for child in inline)


@given(WORDS | st.text())
def test_a_line_is_one_paragraph_of_its_text(text):
    kinds, content = rendered(markdown.escape(text))
    assert content == seen(text)
    assert kinds == (["paragraph_open", "inline", "paragraph_close"] if seen(text) else [])


@given(WORDS | st.text())
def test_a_cell_holds_its_text(text):
    kinds, content = rendered(markdown.table(Grid(columns=("a", "b"), rows=((text, "end"),))))
    assert content == f"ab{seen(text)}end"
    assert kinds.count("td_open") == 2


@given(WORDS)
def test_code_does_not_leave_its_block(text):
    (token,) = RENDERER.parse(markdown.fenced(text, "yaml"))
    assert token.type == "fence"
    assert token.content.rstrip() == visible(text).rstrip()


@pytest.mark.parametrize("text", HOSTILE)
def test_a_report_has_no_html_link_or_picture_of_its_notes_metrics_and_reasons(
    tmp_path, monkeypatch, text
):
    monkeypatch.setattr(page, "figures", lambda report: ())
    trials = [
        trial(0, 0.5, metrics={text: 1.0}),
        trial(1, state="failed", reason=text, metrics={}),
    ]
    objective = {"metric": text, "direction": "minimize"}
    report = made_report(trials, runs_of(0, [0.5, 0.6]), notes=text, objective=objective)
    page.write_report(report, tmp_path)
    tokens = RENDERER.parse((tmp_path / "report.md").read_text("utf-8"))
    inline = [child for token in tokens for child in token.children or ()]
    assert not {"link_open", "image", "html_inline", "code_inline"} & {c.type for c in inline}
    blocks = "".join(token.content for token in tokens if token.type == "html_block")
    assert set(re.findall(r"<[^>]*>", blocks)) <= {
        "<details>",
        "</details>",
        "<summary>",
        "</summary>",
    }
    assert "code_block" not in {token.type for token in tokens}
    quoted = "".join(c.content for c in inline)
    assert seen(text.splitlines()[0]) in quoted
