"""A recipe as JSON that `Recipe.load` reads."""

import json

from lrsearch.export.header import Origin
from lrsearch.recipe.recipe import Recipe


def write(recipe: Recipe, origin: Origin) -> str:
    return json.dumps(recipe.to_dict(), indent=2) + "\n"
