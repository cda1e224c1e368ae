"""The distinct recipes of a study, where its space has finitely many."""

from lrsearch.plain_data import Document
from lrsearch.recipe.fingerprint import fingerprint
from lrsearch.space.distinct import every
from lrsearch.spec.study_spec import StudySpec

#: A space of more recipes counts as one that no study exhausts; so many take a second to list.
MOST = 5000


def distinct_recipes(spec: StudySpec) -> dict[str, Document] | None:
    """The recipes of the study's space by their fingerprints, each once.

    None where a field is continuous, or the space has more than `MOST` combinations.
    """
    fields = every(spec.space, most=MOST)
    if fields is None:
        return None
    recipes = [spec.recipe(each, batch_size=None).to_dict() for each in fields]
    return {fingerprint(recipe): recipe for recipe in recipes}
