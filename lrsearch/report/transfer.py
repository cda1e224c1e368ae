"""What the ladder of a study says, as a value and as a document."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import NormalDist

from lrsearch.errors import SpecError
from lrsearch.plain_data import Document
from lrsearch.recipe.recipe import Recipe
from lrsearch.spec.study_spec import StudySpec
from lrsearch.spec.transfer_field import LadderField
from lrsearch.transfer import constants
from lrsearch.transfer.answer import Answer, answer, nothing_told
from lrsearch.transfer.ended import Trial, ended_runs, measured_ladder
from lrsearch.transfer.objectives import OTHER, Both, both
from lrsearch.transfer.optimum import Optimum, Point
from lrsearch.transfer.plan import Cost, expected_cost, paid, worst_cost
from lrsearch.transfer.runs import Ladder, Run
from lrsearch.transfer.successor import ladder_of, recipe_fields
from lrsearch.user_input import to_yaml


@dataclass(frozen=True, kw_only=True)
class Transfer:
    """A ladder as far as it has been trained."""

    spec: StudySpec
    ladder: Ladder
    runs: tuple[Run, ...]
    #: None where the runs tell nothing; `refusal` says why.
    answer: Answer | None
    #: What either objective says; None where it is not known.
    objectives: Both | None = None

    @property
    def field(self) -> LadderField:
        assert self.spec.ladder is not None
        return self.spec.ladder

    @property
    def refusal(self) -> str:
        """Why there is no learning rate, in words; empty where there is one."""
        if self.answer is None:
            return nothing_told(self.ladder, self.runs)
        return self.answer.refusal

    @property
    def cost(self) -> Cost:
        return paid(self.ladder, self.runs)

    @property
    def lost(self) -> int:
        """Runs without a loss: they diverged or failed."""
        return sum(run.loss is None for run in self.runs)

    @property
    def recipe(self) -> Recipe | None:
        """The recipe of the long run; None where there is no learning rate."""
        if self.answer is None or self.answer.lr is None:
            return None
        fields = recipe_fields(self.spec, self.ladder.to, self.answer.lr, self.spec.seed)
        return Recipe.from_dict(fields)

    def with_digits(self) -> "Transfer":
        """The same; a guessed lr has three digits, since it has no more."""
        found = self.answer
        if found is None or found.lr is None or not found.is_guess:
            return self
        return replace(self, answer=replace(found, lr=float(f"{found.lr:.3g}")))


def transfer_of(
    spec: StudySpec, trials: Sequence[Trial], other_trials: Sequence[Trial] = ()
) -> Transfer:
    """What the trials of a ladder's study say so far; the others have the other objective."""
    ladder, runs = measured_ladder(spec, trials), tuple(ended_runs(spec, trials))
    objectives = both(ladder, runs, ended_runs(spec, other_trials), spec.objective.at)
    found = Transfer(
        spec=spec,
        ladder=ladder,
        runs=runs,
        answer=answer(ladder, runs),
        objectives=objectives,
    )
    return found.with_digits()


def rung_interval(rung: Optimum) -> tuple[float, float]:
    """The central 90 % of a rung's best lr."""
    half = NormalDist().inv_cdf((1 + constants.CONFIDENCE) / 2) * rung.spread
    return math.exp(rung.x - half), math.exp(rung.x + half)


def transfer_document(found: Transfer) -> Document:
    """The document of `lrsearch transfer --json`."""
    said, ladder, cost = found.answer, found.ladder, found.cost
    return {
        "study": found.spec.name,
        "of": found.field.of,
        "to": ladder.to,
        "unit": found.field.unit,
        "objective": found.spec.objective.at,
        "lr": None if said is None else said.lr,
        "interval": None if said is None or said.interval is None else list(said.interval),
        "guess": said is None or said.is_guess,
        "refusal": found.refusal or None,
        "flags": [] if said is None else list(said.flags),
        "overfitting": None if said is None else said.predicted.overfitting,
        "guides": {} if said is None else said.guides,
        "rungs": [] if said is None else [_rung(rung) for rung in said.rungs],
        "probes": [] if said is None else _points(said.probes),
        "cost": {
            "ladder": cost.ladder,
            "probes": cost.probes,
            "total": cost.total,
            "runs": cost.runs,
            "long_runs": cost.total / ladder.to,
        },
        "complete": said is not None and said.is_complete,
        "constants": constants.VERSION,
        "batch": _batch(ladder),
        "objectives": _objectives(found.objectives),
    }


def _objectives(found: Both | None) -> Document | None:
    """The lr that each objective asks for, and whether they are more than a factor 2 apart."""
    if found is None:
        return None
    return {found.at: found.lr, OTHER[found.at]: found.other, "apart": found.is_apart}


def _batch(ladder: Ladder) -> Document | None:
    """Of long runs with another batch than the short ones."""
    batch = ladder.batch
    if batch is None:
        return None
    return {
        "short": batch.short,
        "long": batch.long,
        "noise_scale": batch.noise_scale,
        "factor": batch.factor if batch.is_known else None,
    }


def _rung(rung: Optimum) -> Document:
    return {
        "horizon": rung.horizon,
        "lr": rung.lr,
        "interval": list(rung_interval(rung)),
        "loss": math.exp(rung.best.y),
        "points": _points(rung.points),
    }


def _points(points: tuple[Point, ...]) -> list[Document]:
    """Losses are geometric means over seeds; one with diverged runs has none."""
    best = min((point.y for point in points), default=0.0)
    return [
        {
            "lr": point.lr,
            "loss": None if point.diverged else math.exp(point.y),
            "above": None if point.diverged else math.expm1(point.y - best),
            "runs": point.runs,
            "diverged": point.diverged,
        }
        for point in points
    ]


def plan_document(spec: StudySpec) -> Document:
    """The document of `lrsearch transfer --plan --json`; costs are in the ladder's unit."""
    ladder = ladder_of(spec)
    assert spec.ladder is not None
    costs = {"expected": expected_cost(ladder), "worst": worst_cost(ladder)}
    return {
        "study": spec.name,
        "of": spec.ladder.of,
        "to": ladder.to,
        "unit": spec.ladder.unit,
        "horizons": list(ladder.horizons),
        "centre": ladder.centre,
        "batch": _batch(ladder),
        "cost": {key: {**asdict(cost), "total": cost.total} for key, cost in costs.items()},
    }


def write_recipe(found: Transfer, path: Path) -> None:
    """Write the recipe of the long run; comments say how it was found.

    Raises SpecError where it cannot be written.
    """
    recipe, said = found.recipe, found.answer
    assert recipe is not None
    assert said is not None
    assert said.interval is not None
    low, high = said.interval
    kind = "a guess" if said.is_guess else "the best long run"
    short = ", ".join(map(str, found.ladder.horizons))
    comment = (
        f"# lr for {found.ladder.to} {found.field.unit}: {kind}; 90 %: {low:.3g} .. {high:.3g}\n"
        f"# from runs of {short} {found.field.unit} (study {found.spec.name}, "
        f"constants {constants.VERSION})\n"
    )
    try:
        path.write_text(comment + to_yaml(recipe.to_dict()), encoding="utf-8")
    except OSError as error:
        raise SpecError(f"--out {path}: {error.strerror}; name a file to write") from error
