"""The portfolio's recipes of a study: which are trained first."""

from sqlalchemy import Connection

from lrsearch.confirmation.budget import portfolio_runs
from lrsearch.space.portfolio.adapt import portfolio_recipes
from lrsearch.spec.portfolio_field import entries
from lrsearch.spec.study_spec import StudySpec
from lrsearch.storage import studies
from lrsearch.study.same_recipe import is_same

#: The kind of their trials.
KIND = "portfolio"


def enqueue_portfolio(
    connection: Connection,
    study_id: int,
    spec: StudySpec,
    steps_per_epoch: int,
    batch_size: int | None,
) -> None:
    """Enqueue the portfolio's recipes in their order, but none that waits already."""
    waiting = [row.recipe for row in studies.waiting(connection, study_id)]
    given = entries(spec.portfolio)
    recipes = portfolio_recipes(spec.space, given, batch_size, accumulate=spec.accumulate)
    for recipe in recipes[: portfolio_runs(spec, spec.horizon_epochs(steps_per_epoch))]:
        fields = spec.recipe(recipe, batch_size=None, where="portfolio").to_dict()
        if not any(is_same(other, fields) for other in waiting):
            studies.enqueue(connection, study_id, KIND, fields)
