"""A recipe as YAML that `Recipe.load` reads, under a comment that says where it comes from."""

from lrsearch.export.header import Origin
from lrsearch.recipe.recipe import Recipe
from lrsearch.user_input import to_yaml


def write(recipe: Recipe, origin: Origin) -> str:
    header = "".join(f"# {line}\n" for line in origin.lines())
    return header + to_yaml(recipe.to_dict())
