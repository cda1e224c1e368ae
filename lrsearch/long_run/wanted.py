"""What a long run is asked to train, and the study that it is the only trial of."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from lrsearch.command.template import placeholders
from lrsearch.errors import SpecError, StudyError
from lrsearch.plain_data import Document, Fields
from lrsearch.recipe.recipe import Recipe
from lrsearch.report.files import chosen, steps_per_epoch
from lrsearch.report.load import report_of
from lrsearch.report.one_trial import no_trial
from lrsearch.spec.study_spec import StudySpec
from lrsearch.study.stored_study import StoredStudy
from lrsearch.user_input import read_yaml

#: Fields of a recipe that the long run has of its own.
OWN = ("epochs", "steps", "seed")
#: What of a study file searches: a long run has one trial, which nothing ends before its horizon.
NO_SEARCH: Fields = {
    "budget": {"trials": 1},
    "pruning": None,
    "confirm": None,
    "range_test": "none",
    "portfolio": 0,
    "baseline": None,
    "warm_start": (),
    "max_trial_time": None,
}


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What is asked for; None leaves it to the study."""

    #: A recipe, a file with one, or a trial's number; None: what the study recommends.
    recipe: int | Path | Recipe | None = None
    #: Horizon: one of the two is given.
    epochs: int | None = None
    #: In optimizer steps; of a command in the steps that it is told.
    steps: int | None = None
    seed: int | None = None
    #: The name of the study that it is the only trial of.
    name: str | None = None
    #: Step at which it leaves a checkpoint for longer runs, and the run that it goes on from.
    keep_step: int | None = None
    begin_from: str | None = None

    def __post_init__(self) -> None:
        given = [length for length in (self.epochs, self.steps) if length is not None]
        if len(given) != 1:
            raise SpecError("the length of the run is given once: --epochs N or --steps N")
        if given[0] < 1:
            option = "--epochs" if self.epochs is not None else "--steps"
            raise SpecError(f"{option} {given[0]}: at least 1 is needed")
        if self.seed is not None and not 0 <= self.seed < 2**31:
            raise SpecError(f"--seed {self.seed}: a whole number from 0 to 2147483647 is needed")

    def study_name(self, source: str) -> str:
        """`digits-train-64`, and what was asked for beside the length."""
        if self.name is not None:
            return self.name
        length = f"{self.epochs}" if self.epochs is not None else f"{self.steps}-steps"
        parts = [source, "train", length]
        if isinstance(self.recipe, int):
            parts += ["trial", f"{self.recipe}"]
        elif isinstance(self.recipe, Recipe):
            text = json.dumps(given_fields(self.recipe), sort_keys=True)
            parts.append(hashlib.sha256(text.encode()).hexdigest()[:8])
        elif self.recipe is not None:
            parts.append(self.recipe.stem)
        return "-".join(parts if self.seed is None else [*parts, "seed", f"{self.seed}"])


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """A recipe to train, and where it comes from."""

    #: Without a length and a seed.
    fields: Document
    #: In words: `trial 17 of digits`, or the file's name.
    title: str
    #: How its errors begin.
    where: str
    #: Epochs that it was searched with; None where that is not known.
    searched: float | None


def chosen_recipe(source: StoredStudy, recipe: int | Path | Recipe | None) -> Chosen:
    """The recipe given, that of a trial or of a file, or the one that the study recommends.

    Raises SpecError for a file that is none, StudyError where there is no such trial.
    """
    if isinstance(recipe, Path):
        content = read_yaml(recipe, "recipe")
        return _given(content, title=str(recipe), where=f"--recipe {recipe}")
    if isinstance(recipe, Recipe):
        return _given(given_fields(recipe), title="the recipe given", where="recipe")
    report = report_of(source)
    found = chosen(report, recipe)
    if found is None and recipe is not None:
        raise no_trial(report, recipe)
    if found is None:
        raise StudyError(
            f"study {source.name!r} has no complete trial, so it recommends no recipe yet; name "
            f"one: --recipe FILE, or --recipe N for trial N"
        )
    trial, number, parsed = found
    steps = steps_per_epoch(source, report, trial)
    is_known = parsed.epochs is not None or parsed.steps is not None
    return Chosen(
        fields=without_own(parsed.to_dict()),
        title=f"trial {number} of {source.name}",
        where=f"trial {number}",
        searched=parsed.total_steps(steps) / steps if is_known else None,
    )


def given_fields(recipe: Recipe) -> Document:
    """Those that were said of it: a default may be another one in a study."""
    return recipe.model_dump(mode="json", exclude_unset=True)


def _given(content: Document, *, title: str, where: str) -> Chosen:
    epochs = content.get("epochs")
    searched = float(epochs) if isinstance(epochs, int | float) else None
    return Chosen(fields=without_own(content), title=title, where=where, searched=searched)


def without_own(fields: Document) -> Document:
    """A recipe's fields without those that a long run has of its own."""
    return {key: value for key, value in fields.items() if key not in OWN}


def long_run_spec(source: StudySpec, recipe: Chosen, wanted: Wanted) -> StudySpec:
    """The study whose only trial trains this recipe, and keeps its weights.

    Raises SpecError for a recipe that does not fit the source study, and where the length or the
    seed would not reach its program.
    """
    _check_reaches(source, wanted)
    fields, where = recipe.fields, recipe.where
    if not source.declares(fields):
        raise SpecError(
            f"{where}: its optimizer or schedule is code that study {source.name!r} does not name; "
            f"train one that the study has"
        )
    seed = source.seed if wanted.seed is None else wanted.seed
    own: Document = {"epochs": wanted.epochs, "steps": wanted.steps, "seed": seed}
    draft = source.model_copy(update={**own, "enqueue": (fields,)})
    full = draft.recipe(fields, batch_size=None, where=where)
    keep = {
        "keep_weights": source.program != "command",
        "keep_step": wanted.keep_step,
        "begin_from": wanted.begin_from,
    }
    content = {
        **source.to_dict(),
        **own,
        **NO_SEARCH,
        "space": source.space,
        "name": wanted.study_name(source.name),
        "checkpoints": {**source.checkpoints.model_dump(), **keep},
        "enqueue": [full.to_dict()],
    }
    return StudySpec.from_dict(content, where=f"the run of {recipe.title}")


def _check_reaches(source: StudySpec, wanted: Wanted) -> None:
    """Raises SpecError where a command would not hear of the length, or of the seed."""
    if source.program != "command":
        return
    told = {*placeholders(source.command)}
    unit = "epochs" if wanted.epochs is not None else "steps"
    is_own = (source.epochs, source.steps) == (wanted.epochs, wanted.steps)
    for option, word, is_known in (
        (f"--{unit} {wanted.epochs or wanted.steps}", unit, is_own),
        (f"--seed {wanted.seed}", "seed", wanted.seed is None),
    ):
        if not is_known and not {word, "recipe"} & told:
            raise SpecError(
                f"{option}: the command of study {source.name!r} has no {{{word}}}, so this does "
                f"not reach it; add its argument for that to the study's command"
            )
