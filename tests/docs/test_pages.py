"""Every block of code in README and docs does what the page says, in the order of the page.

Studies are made short: two epochs for each run, four trials or two. What they say is checked as
written.
"""

import re

import pytest
import yaml
from page_reader import STUDY, follow
from pages import PAGES, ROOT, commands, inline_calls, parse, steps

from lrsearch.spec.study_spec import StudySpec

#: A file of this repository in a sentence.
FILE = re.compile(r"`((?:lrsearch|benchmarks|studies|tests|docs)/[\w./]*)`")
named = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
#: Pages whose blocks start a dozen interpreters with torch: `-m slow` runs them, and in every run
#: they are read. What they show is done by tests/acceptance/test_tuned_scripts.py and tests/api.
LONG = {ROOT / "docs/howto/command.md", ROOT / "docs/howto/notebook.md"}


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """Where studies are kept that pages find finished."""
    return tmp_path_factory.mktemp("kept")


@pytest.mark.parametrize(
    "page",
    [pytest.param(page, marks=pytest.mark.slow if page in LONG else ()) for page in PAGES],
    ids=lambda page: str(page.relative_to(ROOT)),
)
@pytest.mark.timeout(900)  # a page runs several studies, one after another
def test_every_block_of_a_page_works(page, tmp_path, kept):
    failed = follow(page, tmp_path, kept) if [*steps(page)] else None
    assert failed is None, failed


@pytest.mark.parametrize("page", sorted(LONG), ids=lambda page: page.stem)
def test_the_blocks_of_a_long_page_are_commands_studies_and_code(page):
    for step in steps(page):
        match step.kind:
            case "sh":
                for words in commands(step.text):
                    parse(words)
            case "python":
                compile(step.text, step.place, "exec")
            case "yaml":
                content = yaml.safe_load(step.text)
                fields = {**STUDY, **({} if "steps" in content else {"epochs": 3}), **content}
                StudySpec.from_dict(fields, where=step.place)


@named
def test_every_call_in_the_sentences_of_a_page_is_a_command(page):
    for call in inline_calls(page):
        parse(call.split())


@named
def test_links_of_a_page_lead_to_files_and_headings(page):
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!https?:)([^)\s]+)", text):
        path, _, anchor = target.partition("#")
        file = (page.parent / path) if path else page
        assert file.exists(), target
        assert not anchor or anchor in anchors(file), target


def anchors(page):
    """The link targets of a page: its headings, as code hosting sites and MyST make them."""
    text = page.read_text(encoding="utf-8")
    if included := re.search(r"^```{include} (.*)$", text, re.MULTILINE):
        return anchors(page.parent / included[1])
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_a_file_name_in_the_sentences_is_a_file():
    for page in PAGES:
        for name in re.findall(FILE, page.read_text()):
            assert (ROOT / name).exists(), f"{page}: {name}"
