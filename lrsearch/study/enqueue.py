"""Recipes that wait for the next free worker."""

from lrsearch.plain_data import Fields
from lrsearch.recipe.recipe import Recipe
from lrsearch.storage import studies
from lrsearch.study.stored_study import StoredStudy


def enqueue(search: StoredStudy, recipe: Fields, where: str) -> Recipe:
    """Let the next free worker train this recipe. Raises SpecError if it does not fit the study."""
    full = search.spec.recipe(recipe, batch_size=None, where=where)
    with search.database.begin() as connection:
        studies.enqueue(connection, search.study_id, "enqueued", full.to_dict())
    return full
