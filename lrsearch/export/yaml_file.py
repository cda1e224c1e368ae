"""A recipe as YAML that `Recipe.load` reads, under a comment that says where it comes from."""

from lrsearch.export.header import Origin
from lrsearch.recipe.recipe import Recipe
from lrsearch.user_input import to_yaml


def write(recipe: Recipe, origin: Origin) -> str:
    lines = [origin.trial(), f"Searched with {origin.software()}"]
    if origin.init is not None:
        lines.append(f"Starts from {origin.init.file!r}, SHA-256 {origin.init.sha256}")
    if origin.command is not None:
        lines.append(f"Trained by: {origin.command}")
    header = "".join(f"# {line}\n" for line in lines)
    return header + to_yaml(recipe.to_dict())
