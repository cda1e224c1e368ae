"""The portfolio's recipes of a study: which are trained first."""

from collections.abc import Mapping, Sequence

from sqlalchemy import Connection

from lrsearch.confirmation.budget import portfolio_runs
from lrsearch.plain_data import Fields
from lrsearch.range_test.windows import portfolio_edges
from lrsearch.space.portfolio.adapt import NO_EDGES, portfolio_recipes
from lrsearch.space.portfolio.edges import Edge
from lrsearch.spec.portfolio_field import entries
from lrsearch.spec.study_spec import StudySpec
from lrsearch.storage import range_tests, studies, trials
from lrsearch.study.same_recipe import is_same

#: The kind of their trials.
KIND = "portfolio"


def keep_stable(
    connection: Connection, study_id: int, spec: StudySpec, steps_per_epoch: int
) -> None:
    """Let the recipes that wait follow the edges that range tests have found so far.

    Those beyond an edge go, their successors in the list take their places, and copies with other
    rates are added where all lie far off. Recipes of the user's own file stay as they are.
    """
    waiting = [row for row in studies.waiting(connection, study_id) if row.kind == KIND]
    if not waiting or isinstance(spec.portfolio, tuple):
        return
    results = [row.result for row in range_tests.windows_so_far(connection, study_id)]
    edges = portfolio_edges(spec.space, results)
    sizes = [result["batch_size"] for result in results if result and result.get("batch_size")]
    size = sizes[0] // spec.accumulate if sizes else None
    trained = [row.recipe for row in trials.everything(connection, study_id) if row.recipe]
    studies.unqueue(connection, study_id, KIND)
    _enqueue(connection, study_id, spec, steps_per_epoch, size, edges=edges, but=trained)


def enqueue_portfolio(
    connection: Connection,
    study_id: int,
    spec: StudySpec,
    steps_per_epoch: int,
    batch_size: int | None,
) -> None:
    """Enqueue the portfolio's recipes in their order, but none that waits already."""
    _enqueue(connection, study_id, spec, steps_per_epoch, batch_size)


def _enqueue(
    connection: Connection,
    study_id: int,
    spec: StudySpec,
    steps_per_epoch: int,
    batch_size: int | None,
    *,
    edges: Mapping[str, Edge] = NO_EDGES,
    but: Sequence[Fields] = (),
) -> None:
    present = [*but, *(row.recipe for row in studies.waiting(connection, study_id))]
    given = entries(spec.portfolio)
    recipes = portfolio_recipes(
        spec.space, given, batch_size, accumulate=spec.accumulate, edges=edges
    )
    for recipe in recipes[: portfolio_runs(spec, spec.horizon_epochs(steps_per_epoch))]:
        fields = spec.recipe(recipe, batch_size=None, where="portfolio").to_dict()
        if not any(is_same(fields, other) for other in present):
            studies.enqueue(connection, study_id, KIND, fields)
