"""`Result.transfer`: from a search in Python to the long run."""

import pytest
from tiny_studies import search_here

import lrsearch
from lrsearch.errors import SpecError


@pytest.fixture
def searched():
    return search_here(budget={"trials": 2}, confirm="none")


def test_a_search_in_python_is_taken_to_a_longer_run(searched):
    found = searched.transfer(8, probes=0)
    assert found.guess
    assert found.document["of"] == searched.name
    assert [rung["horizon"] for rung in found.document["rungs"]] in ([1, 2, 4], [1, 2], [1])
    assert (found.lr is None) == bool(found.refusal)
    assert (found.recipe is None) == (found.lr is None)
    assert len(found.result.trials) == found.document["cost"]["runs"]
    assert repr(found) == found.text


def test_a_trial_of_it_is_named_by_its_number(searched):
    with pytest.raises(lrsearch.StudyError, match="99"):
        searched.transfer(8, recipe=99)
    with pytest.raises(SpecError, match="at least 3"):
        searched.transfer(8, horizons=[1, 2])
