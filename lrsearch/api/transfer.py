"""The learning rate of a longer run, as `Result.transfer` gives it."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lrsearch.api.temporary_place import TemporaryPlace
from lrsearch.api.training import Training
from lrsearch.plain_data import Document
from lrsearch.recipe.recipe import Recipe
from lrsearch.report.load import report_of
from lrsearch.report.recommended import recipe_of
from lrsearch.report.text.transfer import transfer_text
from lrsearch.report.transfer import Transfer, transfer_document
from lrsearch.spec.study_spec import StudySpec
from lrsearch.study.stored_study import StoredStudy
from lrsearch.transfer.asked import Asked, asked_study

if TYPE_CHECKING:
    from lrsearch.api.result import Result


@dataclass(frozen=True, repr=False)
class TransferResult:
    """What a ladder of short runs says of a long one; its `repr` is the answer in words."""

    #: What `lrsearch transfer --json` prints; its keys are those of the reference of commands.
    document: Document
    #: The learning rate of the long run; None where the runs tell none, and `refusal` says why.
    lr: float | None
    #: 90 % interval of the best learning rate; None where there is none.
    interval: tuple[float, float] | None
    #: Whether no long run stands behind it.
    guess: bool
    #: `kink`, `regimes`, `overfit`, `vague`, `disagree`: what speaks against relying on it.
    flags: tuple[str, ...]
    #: Why there is no learning rate, in words; empty where there is one.
    refusal: str
    #: The recipe of the long run, its horizon included; None where there is no learning rate.
    recipe: Recipe | None
    #: The study that trained the ladder; its `best` is the best long run.
    result: "Result"
    text: str

    @classmethod
    def of(cls, found: Transfer, result: "Result") -> "TransferResult":
        """What a ladder's report says, with the result of its study."""
        said = found.answer
        return cls(
            document=transfer_document(found),
            lr=None if said is None else said.lr,
            interval=None if said is None else said.interval,
            guess=said is None or said.is_guess,
            flags=() if said is None else said.flags,
            refusal=found.refusal,
            recipe=found.recipe,
            result=result,
            text=transfer_text(found),
        )

    def __repr__(self) -> str:
        return self.text


def asked_of(source: StoredStudy, recipe: int | str | Path | None, asked: Asked) -> StudySpec:
    """The study that trains what is asked for of a study. Raises SpecError, StudyError."""
    found = recipe_of(source, recipe, where="recipe")
    return asked_study(source.spec, found, asked, source.steps_per_epoch)


def climbed(
    source: StoredStudy, spec: StudySpec, training: Training, *, place: TemporaryPlace | None
) -> TransferResult:
    """Train a ladder, see `Result.transfer`; `place` is where a study without a name lives."""
    from lrsearch import run_study  # torch and Optuna: not for who only reads
    from lrsearch.api.result import Result

    study = run_study.climb(
        source,
        spec,
        training.resources,
        task_dir=training.folder,
        live=training.live,
        progress=run_study.ProgressBar(),
    )
    report = report_of(study)
    assert report.transfer is not None
    return TransferResult.of(report.transfer, Result(study, report, training, place=place))
