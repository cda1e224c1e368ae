"""A recipe as JSON that `Recipe.load` reads."""

import json

from lrsearch.export.origin import Origin
from lrsearch.recipe import Recipe


def write(recipe: Recipe, origin: Origin) -> str:
    return json.dumps(recipe.to_dict(), indent=2) + "\n"
