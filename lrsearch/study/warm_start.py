"""What a new study learns from earlier ones: recipes to train first, trials for its sampler.

Recipes are trained as the study's own trials. Trials that others have run become Optuna's alone:
they are in no budget, ranking, rung or report of the study.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from operator import itemgetter

from sqlalchemy import Connection

from lrsearch.errors import SpecError, StudyError, near_miss
from lrsearch.plain_data import Document, Fields
from lrsearch.recipe.recipe import Recipe, without_fused
from lrsearch.spec.earlier_study import EarlierStudy
from lrsearch.spec.study_spec import StudySpec
from lrsearch.storage import confirmations, studies, trials
from lrsearch.storage.database import Database, explained
from lrsearch.storage.records import BegunTrial
from lrsearch.study.optuna import encoding as optuna_encoding
from lrsearch.study.optuna import gate
from lrsearch.study.optuna.attributes import FROM, RECIPE
from lrsearch.study.optuna.plain_study import read_trials
from lrsearch.study.optuna.storage import OptunaTrial, load_study
from lrsearch.study.stored_study import StoredStudy
from lrsearch.task.task import LoadedCode
from lrsearch.trial.states import OPEN, TrialState

#: The kind of a trial whose recipe an earlier study found.
KIND = "warm_start"
#: What a recipe brings to any study; the rest are a study's settings.
FIELDS = ("optimizer", "schedule", "warmup", "warmup_steps", "params", "groups")


@dataclass(kw_only=True)
class Lesson:
    """What one earlier study gives."""

    study: str
    #: Its best recipes, as this study trains them.
    recipes: list[Recipe] = field(default_factory=list)
    #: Its trials in this study's parameters.
    known: list[OptunaTrial] = field(default_factory=list)
    #: Ended trials that lie outside this study's space.
    outside: int = 0
    #: Trials that tell nothing here: not ended, pruned by other rules, or no recipe of torch's.
    unusable: int = 0
    #: Why its values mean nothing here; "" where they do.
    other: str = ""

    def counts(self) -> Document:
        """For people and machines, without the recipes."""
        return {
            "study": self.study,
            "enqueued": len(self.recipes),
            "known": len(self.known),
            "outside": self.outside,
            "unusable": self.unusable,
            "other": self.other,
        }


def gather(
    database: Database,
    spec: StudySpec,
    entries: Sequence[EarlierStudy],
    loaded: LoadedCode,
) -> list[Lesson]:
    """Read what the entries give to a study of this spec; nothing is written.

    Raises StudyError, StorageError or TaskError in one line for an entry that cannot be used.
    """
    lessons = []
    for entry in entries:
        where = f"warm_start[{spec.warm_start.index(entry)}]"
        if entry.study is not None:
            lessons.append(_from_ours(database, spec, entry, loaded, where))
        else:
            lessons.append(_from_plain(database, spec, entry, loaded, where))
    return lessons


def apply(
    connection: Connection,
    study_id: int,
    lessons: Sequence[Lesson],
    present: Sequence[Fields],
) -> None:
    """Enqueue the recipes that are not `present` yet, each once, and tell Optuna the trials."""
    seen = [essence(recipe) for recipe in present]
    for lesson in lessons:
        fresh = []
        for recipe in lesson.recipes:
            content = recipe.to_dict()
            if essence(content) not in seen:
                seen.append(essence(content))
                fresh.append(recipe)
                studies.enqueue(connection, study_id, KIND, content)
        lesson.recipes = fresh
        gate.writer(connection).insert_trials(study_id, lesson.known)


def essence(recipe: Fields) -> Document:
    """What tells two recipes of a study apart; its settings are the same in all of them."""
    content = {key: recipe.get(key) for key in (*FIELDS, "clip_norm")}
    return {**content, "optimizer": without_fused(recipe["optimizer"])}


def _from_ours(
    database: Database, spec: StudySpec, entry: EarlierStudy, loaded: LoadedCode, where: str
) -> Lesson:
    with explained(database), database.read() as connection:
        study = studies.by_name(connection, str(entry.study))
        names = [row.name for row in studies.everything(connection)]
        if study is None:
            hint = near_miss(entry.study, names) if names else "; there are none yet"
            raise StudyError(
                f"{where}: no study {entry.study!r} in {database.location}{hint} (a plain Optuna "
                f"study is written {{optuna: NAME, map: ...}})"
            )
        rows = trials.everything(connection, study.study_id)
        winner = confirmations.winner(connection, study.study_id)
    theirs = StudySpec.from_stored(study.definition)
    lesson = Lesson(study=entry.title, other=_other_problem(spec, theirs))
    # A worker that died with a ticket alone has left neither a recipe nor a trial of Optuna's.
    begun = [trial for row in rows if (trial := row.begun()) is not None]
    ended = [row for row in begun if row.state not in OPEN]
    lesson.recipes = _best_recipes(spec, theirs, ended, winner, entry.top)
    if lesson.other:
        return lesson
    optunas = load_study(database, study.study_id).get_trials(deepcopy=False)
    known = StoredStudy(database, study).known
    # Of other code the defaults may have been others.
    defaults = loaded.defaults() if study.code == loaded.code else {}
    for row in ended:
        encoding = optuna_encoding.encode(spec.space, row.recipe, defaults)
        if encoding is None:
            lesson.outside += 1
        else:
            origin = f"{entry.study} trial {row.number}"
            attributes = _attributes(origin, row.recipe)
            lesson.known.append(
                optuna_encoding.retold(optunas[known + row.number], encoding, attributes)
            )
    lesson.unusable += len(rows) - len(ended)
    return lesson


def _other_problem(spec: StudySpec, theirs: StudySpec) -> str:
    """Why a value of `theirs` means nothing in a study of `spec`; "" where it does."""
    pairs = {
        "program": (spec.reference, theirs.reference),
        "objective": (spec.objective, theirs.objective),
        "horizon": ((spec.epochs, spec.steps), (theirs.epochs, theirs.steps)),
        "accumulate": (spec.accumulate, theirs.accumulate),
        "deployed weights": (_deployed(spec), _deployed(theirs)),
    }
    return ", ".join(f"another {name}" for name, (mine, other) in pairs.items() if mine != other)


def _deployed(spec: StudySpec) -> object:
    """The average that is deployed; None for the raw weights."""
    return spec.ema if spec.ema is not None and spec.ema.deploy else None


def _best_recipes(
    spec: StudySpec, theirs: StudySpec, ended: Sequence[BegunTrial], winner: int | None, top: int
) -> list[Recipe]:
    """The confirmed winner, then the best complete trials, as this study trains them."""
    scored = [
        (row.number != winner, theirs.objective.loss(row.value), row)
        for row in ended
        if row.state == TrialState.COMPLETE and row.value is not None
    ]
    found: list[Recipe] = []
    for _, _, row in sorted(scored, key=itemgetter(0, 1)):
        if len(found) == top:
            break
        if not spec.declares(row.recipe):
            continue
        fields = _fields_here(spec, theirs, row)
        recipe = spec.recipe(fields, batch_size=None, where=f"trial {row.number}")
        if recipe not in found:
            found.append(recipe)
    return found


def _fields_here(spec: StudySpec, theirs: StudySpec, trial: BegunTrial) -> Fields:
    """What of a trial's recipe this study takes over."""
    recipe = Recipe.from_dict(trial.recipe)
    params = recipe.params
    own: Document = {}
    if recipe.clip_norm != theirs.clip_norm:
        own |= {"clip_norm": recipe.clip_norm}
    if theirs.reference != spec.reference:  # whose program takes other arguments
        params = {k: v for k, v in params.items() if k in spec.space.params}
    elif trial.kind != "sampled" and "batch_size" not in params:
        own |= {"batch_size": recipe.batch_size}  # it may have named its own
    if recipe.group_rules:  # a task's own function is of that task
        own |= {"groups": recipe.groups}
    optimizer = without_fused(recipe.optimizer)  # fused or not, as this study says
    return {
        "optimizer": optimizer,
        "schedule": recipe.schedule,
        **_warmup(recipe),
        "params": params,
        **own,
    }


def _warmup(recipe: Recipe) -> Fields:
    steps = recipe.warmup_steps
    return {"warmup": recipe.warmup} if steps is None else {"warmup_steps": steps}


def _from_plain(
    database: Database, spec: StudySpec, entry: EarlierStudy, loaded: LoadedCode, where: str
) -> Lesson:
    found, others = read_trials(database, entry, spec.objective, where)
    lesson = Lesson(study=entry.title, unusable=others)
    scored: list[tuple[float, Recipe]] = []
    size: int | None = None
    for trial in found:
        fields = entry.fields(trial.params)
        recipe = None if fields is None else _legal(spec, fields)
        if recipe is None:
            lesson.unusable += 1
            continue
        if size is None:
            size = loaded.batch_size(recipe.params)  # or the task takes no such params
        if trial.value is not None:
            scored.append((spec.objective.loss(trial.value), recipe))
        content = {**recipe.to_dict(), "batch_size": recipe.params.get("batch_size", size)}
        encoding = optuna_encoding.encode(spec.space, content, loaded.defaults())
        if encoding is None:
            lesson.outside += 1
            continue
        attributes = _attributes(f"{entry.optuna} trial {trial.number}", content)
        lesson.known.append(
            optuna_encoding.diverged(optuna_encoding.worst(spec.objective), encoding, attributes)
            if trial.value is None
            else optuna_encoding.complete(trial.value, encoding, attributes)
        )
    scored.sort(key=lambda item: item[0])
    lesson.recipes = [recipe for _, recipe in scored[: entry.top]]
    return lesson


def _legal(spec: StudySpec, fields: Fields) -> Recipe | None:
    try:
        return spec.recipe(fields, batch_size=None)
    except SpecError:
        return None  # such as momentum 1.0, which torch takes and we refuse


def _attributes(origin: str, recipe: Fields) -> Document:
    return {FROM: origin, RECIPE: dict(recipe)}
