"""What came of a long run, as a value to look at and to go on with."""

from pathlib import Path
from typing import TYPE_CHECKING

from lrsearch.api.records import CurvePoint
from lrsearch.api.temporary_place import TemporaryPlace
from lrsearch.api.training import Training
from lrsearch.long_run import model_file
from lrsearch.long_run.train import Trained, begin, check_save, train
from lrsearch.long_run.wanted import Wanted
from lrsearch.recipe.recipe import Recipe
from lrsearch.report import files
from lrsearch.run_study import ProgressBar
from lrsearch.storage import curves
from lrsearch.study.stored_study import StoredStudy

if TYPE_CHECKING:
    from torch import Tensor

    from lrsearch.training.kept_weights import KeptWeights


class TrainedModel:
    """A recipe trained to the end of its horizon: its value, its curve and its weights."""

    def __init__(self, trained: Trained, *, place: TemporaryPlace | None = None) -> None:
        """Raises StudyError where the run did not come to its end."""
        self._trained, self._trial = trained, trained.complete()
        self._weights: KeptWeights | None = None
        #: The folder of a study without a name: it lives as long as this value.
        self._place = place

    @property
    def name(self) -> str:
        """The name of the study that it is the only trial of."""
        return self._trained.report.name

    @property
    def recipe(self) -> Recipe:
        """What was trained, with its length and seed."""
        return Recipe.from_dict(self._trial.recipe or {})

    @property
    def metric(self) -> str:
        """What the objective measures: `val_loss`, or a metric of the task."""
        return self._trained.report.metric

    @property
    def value(self) -> float | None:
        """The objective at the validation whose weights are kept; None if none was finite."""
        return self._trial.value

    @property
    def note(self) -> str | None:
        """What is known of the recipe's lr at this horizon; None where it was searched with it."""
        return self._trained.run.note

    @property
    def epoch(self) -> float:
        """How many epochs the kept weights were trained. Raises StudyError as `state_dict`."""
        return self._kept.row.epoch

    @property
    def curve(self) -> tuple[CurvePoint, ...]:
        """Its validations, in their order."""
        study = self._trained.run.study
        with study.database.read() as connection:
            rows = curves.of_study(connection, study.study_id, number=self._trial.number)
        return tuple(CurvePoint.of(row, study.spec) for row in rows)

    def state_dict(self) -> "dict[str, Tensor]":
        """The weights that the value is of, on the CPU, for `model.load_state_dict`.

        Raises StudyError where they are not here: of a command, which has them itself, of a script
        whose model lrsearch does not know, or of a run that another machine has trained.
        """
        return dict(self._kept.weights)

    @property
    def _kept(self) -> "KeptWeights":
        if self._weights is None:
            self._weights = self._trained.weights()
        return self._weights

    def save(self, path: str | Path) -> Path:
        """Write the weights with `torch.save`, and the recipe beside them as YAML; `path`.

        Raises SpecError for a path that no file can be written to, StudyError as `state_dict`.
        """
        model_file.check_place(Path(path), "save(): path =")
        return self._trained.save(Path(path)).weights

    def report(self, folder: str | Path | None = None, *, png: bool = False) -> Path:
        """Write the report of the run; the path of `report.html`. As `Result.report`."""
        out = None if folder is None else Path(folder)
        _, written = files.write_files(self._trained.run.study, out, png=png)
        return written / "report.html"

    def __repr__(self) -> str:
        value = "no finite value" if self.value is None else f"{self.metric} {self.value:.4g}"
        epochs = f"{self._trial.epochs:g} epochs"
        return f"TrainedModel({self.name}: {self.recipe.title()}, {epochs}, {value})"


def trained_model(
    source: StoredStudy,
    wanted: Wanted,
    training: Training,
    *,
    save: Path | None,
    place: TemporaryPlace | None,
) -> TrainedModel:
    """Train it, see `Result.train`; `place` is where a study without a name lives."""
    check_save(source, save, "save =")
    run = begin(source, wanted, task_dir=training.folder, live=training.live)
    done = train(
        run,
        training.one_worker,
        task_dir=training.folder,
        live=training.live,
        report_to=None,
        progress=ProgressBar(),
    )
    model = TrainedModel(done, place=place)
    if save is not None:
        model.save(save)
    return model
