"""`lrsearch.compare`: studies beside each other, in Python."""

import pytest
from tiny_studies import search_here

import lrsearch
from lrsearch.report.comparison.comparison import Standing


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    """A database with two finished studies."""
    url = f"sqlite:///{tmp_path_factory.mktemp('compared')}/study.db"
    for name, width in (("narrow", 2), ("wide", 3)):
        space = {"optimizers": {"sgd": {"lr": 10.0**-width}}, "schedules": {"constant": {}}}
        search_here(name=name, storage=url, space=space, budget={"trials": 2}, confirm="none")
    return url


def test_names_and_results_are_compared(url, tmp_path):
    found = lrsearch.compare("narrow", lrsearch.open_study("wide", storage=url), storage=url)
    assert found.names == ("narrow", "wide")
    (each,) = found.compared
    assert (each.of, each.standing) == ("wide", Standing.UNCONFIRMED)
    assert repr(found) == "Comparison(narrow, wide: Not decided yet)"
    assert found.to_dict()["sentences"] == list(found.sentences)
    assert "<b>Not decided yet</b>" in found._repr_html_()
    path = found.report(tmp_path / "compare.md")
    assert path.read_text().startswith("# narrow, wide\n")


def test_a_study_of_another_database_is_named_with_its_url(url):
    found = lrsearch.compare("narrow", f"wide@{url}", storage=url)
    assert found.names == ("narrow", "wide")


def test_two_studies_of_one_name_are_told_apart(url, tmp_path):
    other = f"sqlite:///{tmp_path}/other.db"
    space = {"optimizers": {"sgd": {"lr": 0.5}}, "schedules": {"constant": {}}}
    mine = search_here(name="wide", storage=other, space=space, budget={"trials": 2})
    found = lrsearch.compare(lrsearch.open_study("wide", storage=url), mine)
    assert found.names == ("wide (1)", "wide (2)")


def test_one_study_and_one_that_is_not_there_are_refused(url):
    for names, line in (
        ([], "0 studies to compare; name two or more"),
        (["narrow"], "1 study to compare; name two or more"),
        (["narrow", "narrow"], "study 'narrow' is named twice; name different studies"),
    ):
        with pytest.raises(lrsearch.StudyError) as raised:
            lrsearch.compare(*names, storage=url)
        assert str(raised.value) == line
    with pytest.raises(lrsearch.StudyError, match="did you mean 'wide'"):
        lrsearch.compare("narrow", "wido", storage=url)
