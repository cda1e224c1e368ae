"""A recipe as YAML that `Recipe.load` reads, under a comment that says where it comes from."""

from lrsearch.export.origin import Origin
from lrsearch.recipe import Recipe, to_yaml


def write(recipe: Recipe, origin: Origin) -> str:
    lines = [origin.trial(), f"Searched with {origin.software()}"]
    header = "".join(f"# {line}\n" for line in lines)
    return header + to_yaml(recipe.to_dict())
