"""A first run of a script or a command: until it reports, before anything is searched."""

from dataclasses import dataclass

from lrsearch.recipe.recipe import Recipe
from lrsearch.space.portfolio.adapt import portfolio_recipes
from lrsearch.space.portfolio.default import DEFAULT
from lrsearch.space.portfolio.entries import Entry
from lrsearch.spec.sample_recipes import sample
from lrsearch.spec.study_spec import StudySpec

#: How long a script or a command may take to its first report.
MOST_SECONDS = 3600.0
#: A rate at which nearly every model trains: torch's own for AdamW.
CALM = Entry(
    optimizer={"name": "adamw", "lr": 1e-3, "weight_decay": 0.01},
    schedule={"name": "cosine"},
    warmup=0.05,
    source="torch",
)


@dataclass(frozen=True, kw_only=True)
class FirstRun:
    """What a script has shown until its first report."""

    steps_per_epoch: int
    #: From its start to its first report.
    seconds: float
    #: At the first report.
    epoch: float
    #: Whether it validates the weight average, and whether it says its losses.
    averages: bool
    reads_loss: bool
    warnings: tuple[str, ...]
    notes: tuple[str, ...]
    #: How a trial goes on after an interruption: `exact`, `approximate (NAMES)`, `not proven`, or
    #: what a command does.
    resume: str


def calm_recipe(spec: StudySpec) -> Recipe:
    """What a first run trains: the baseline, else a calm recipe, else one of the space."""
    given = [recipe for _, recipe in spec.given_recipes()]
    fields = [*given, *portfolio_recipes(spec.space, (CALM, *DEFAULT))]
    return spec.recipe(fields[0], batch_size=None) if fields else sample(spec, 1, None)[0]
