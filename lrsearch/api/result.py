"""What a search found, as a value to look at and to go on with."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal, overload

from lrsearch.api import frames
from lrsearch.api.html import result_html
from lrsearch.api.longer_runs import LongerRuns
from lrsearch.api.plot import Plot
from lrsearch.api.records import Counts, CurvePoint, TrialResult
from lrsearch.api.temporary_place import TemporaryPlace
from lrsearch.api.training import Training
from lrsearch.errors import SpecError, StudyError
from lrsearch.recipe.recipe import Recipe
from lrsearch.report import files
from lrsearch.report.model import Report
from lrsearch.report.one_trial import no_trial
from lrsearch.report.text.result import answer
from lrsearch.storage import curves
from lrsearch.study.stored_study import StoredStudy

if TYPE_CHECKING:
    import pandas


Format = Literal[
    "yaml", "json", "torch", "lightning", "transformers", "timm", "hydra", "command", "shell"
]


class Result(LongerRuns):
    """What a study has found, as it stood when the result was made; its `repr` is one line.

    `search` and `open_study` return one. Of a study that still runs, `curves`, `report` and
    `export` read what there is when they are called; all else is of that moment.
    """

    def __init__(
        self,
        study: StoredStudy,
        report: Report,
        training: Training,
        *,
        place: TemporaryPlace | None = None,
    ) -> None:
        super().__init__(study, training, place)
        self._report = report

    @property
    def name(self) -> str:
        """The study's name in the database; `lrsearch study show NAME` and the like take it."""
        return self._report.name

    @property
    def best(self) -> Recipe | None:
        """The confirmed recipe, else the search's best; None if no trial is complete."""
        report = self._report
        if report.winner is not None:
            return Recipe.from_dict(report.winner.recipe)
        return None if report.best is None else report.best.parsed

    @property
    def trial(self) -> int | None:
        """The number of the trial that has this recipe."""
        report = self._report
        if report.winner is not None:
            return report.winner.trial
        return None if report.best is None else report.best.number

    @property
    def metric(self) -> str:
        """What the objective measures: `val_loss`, or a metric of the task."""
        return self._report.metric

    @property
    def value(self) -> float | None:
        """The recipe's mean on fresh seeds, else its value in the search."""
        report = self._report
        if report.winner is not None:
            return report.winner.mean
        return None if report.best is None else report.best.value

    @property
    def interval(self) -> tuple[float, float] | None:
        """95 % confidence interval of that mean; None without confirmation, or for one run."""
        return None if self._report.winner is None else self._report.winner.ci95

    @property
    def confirmed_runs(self) -> int:
        """Runs on fresh seeds whose mean the value is; 0 without confirmation."""
        return 0 if self._report.winner is None else self._report.winner.n

    @property
    def counts(self) -> Counts:
        """How the trials ended."""
        return Counts(**self._report.counts)

    @property
    def trials(self) -> tuple[TrialResult, ...]:
        """Every started trial, in the order of their starts."""
        return tuple(TrialResult.of(trial) for trial in self._report.trials)

    @property
    def plot(self) -> Plot:
        """Pictures of the study: `plot.history()`, `plot.curves()` and more."""
        return Plot(self._report, self._study, self._place)

    def curves(self, trial: int | None = None) -> tuple[CurvePoint, ...]:
        """The validations of one trial, by its number, or of all, in their order.

        Raises StudyError if there is no such trial.
        """
        if trial is not None and self._report.trial(trial) is None:
            raise no_trial(self._report, trial)
        with self._study.database.read() as connection:
            rows = curves.of_study(connection, self._study.study_id, number=trial)
        spec = self._report.spec
        return tuple(CurvePoint.of(row, spec) for row in rows if row.number is not None)

    def trials_frame(self) -> "pandas.DataFrame":
        """`trials` as a pandas table, one row each.

        A recipe's fields are columns such as `optimizer.lr`, `schedule.name`, `params.width`, the
        task's metrics `metrics.NAME`. Raises LrsearchError where pandas is not installed.
        """
        return frames.trials_frame(self.trials)

    def curves_frame(self, trial: int | None = None) -> "pandas.DataFrame":
        """`curves` as a pandas table, one row for each validation; metrics are `metrics.NAME`.

        Raises StudyError if there is no such trial, LrsearchError where pandas is not installed.
        """
        return frames.curves_frame(self.curves(trial))

    def confirm(self, *, candidates: int | None = None, runs: int | None = None) -> "Result":
        """Train the best recipes again with fresh seeds; the study's result after that.

        `candidates` is how many recipes are tried at most, `runs` how many trainings there are in
        all; what is None is as in the study. What was confirmed with the same two numbers stays.
        Raises StudyError where no trial is complete, or the budget does not allow so many runs, and
        TaskError where the task is not here.
        """
        for word, count in (("candidates", candidates), ("runs", runs)):
            if count is not None and count < 1:
                raise SpecError(f"confirm(): {word} = {count}: at least 1 is needed")
        # torch and Optuna: not for who only reads
        from lrsearch import run_study
        from lrsearch.study.open_study import OpenStudy

        training = self._training
        training.refuse_without_task("confirm()", self._study)
        study = OpenStudy.open(self._study.database, self.name)
        report = run_study.confirm(
            study,
            training.resources,
            candidates=candidates,
            runs=runs,
            task_dir=training.folder,
            live=training.live,
            progress=run_study.ProgressBar(),
            where="confirm(): runs =",
        )
        return Result(study, report, training, place=self._place)

    def report(self, folder: str | Path | None = None, *, png: bool = False) -> Path:
        """Write the report, the best recipe and its PyTorch code; the path of `report.html`.

        `folder` is `NAME-report` in the current folder unless given; it is made. Its figures are
        SVG files; with `png` they are PNG files too. Raises StudyError if it cannot be written.
        """
        out = None if folder is None else Path(folder)
        _, written = files.write_files(self._study, out, png=png)
        return written / "report.html"

    @overload
    def export(
        self,
        format: Format = "yaml",
        path: None = None,
        *,
        trial: int | None = None,
        epochs: int | None = None,
    ) -> str: ...

    @overload
    def export(
        self,
        format: Format,
        path: str | Path,
        *,
        trial: int | None = None,
        epochs: int | None = None,
    ) -> Path: ...

    def export(
        self,
        format: Format = "yaml",
        path: str | Path | None = None,
        *,
        trial: int | None = None,
        epochs: int | None = None,
    ) -> str | Path:
        """The recipe of `best`, or of a trial by its number, as text, or written to `path`.

        `yaml` and `json` are what `Recipe.load` reads, `torch` is Python code without lrsearch;
        `lightning`, `transformers`, `timm` and `hydra` are settings of these; `command` (or
        `shell`) is the command line of a script with the recipe's values. `path` is a file, or a
        folder that is there. `epochs` stretches the schedule and keeps lr, though the best one may
        move with the horizon; the text says so, in formats with comments. Raises StudyError if
        there is no complete trial, or no such one, or `path` cannot be written, and SpecError for
        another format, and for a recipe that the format cannot express.
        """
        changes = files.Changes(epochs=epochs)
        exported = files.export_recipe(self._study, trial=trial, form=format, changes=changes)
        if path is None:
            return exported.text
        try:
            return files.write_exported(exported, Path(path))
        except OSError as error:
            raise StudyError(f"export(): cannot write {path}: {error.strerror}") from error

    def __repr__(self) -> str:
        found = answer(self._report)
        return f"Result({self.name}: {found.title}. {found.lines[0]} {self.counts.title()})"

    def _repr_html_(self) -> str:
        """The answer and a table for notebooks."""
        return result_html(self._report, self.counts)
