"""Whether a training script goes on to the last bit: it is run, ended, and run on, and compared."""

import tempfile
from pathlib import Path

from lrsearch.child_process.folders import OUTPUT
from lrsearch.own_loop.messages import (
    Boundary,
    Diverged,
    Failed,
    Finished,
    GoOn,
    Hint,
    Report,
    Save,
    Saved,
    Start,
)
from lrsearch.own_loop.proof import Outcome, Proof, prove
from lrsearch.recipe.recipe import Recipe
from lrsearch.spec.study_spec import StudySpec
from lrsearch.training.failures import TrialFailedError
from lrsearch.worker.script_process import ScriptProcess
from lrsearch.worker.script_training import Surroundings

#: Epochs that the proof trains: two, then one, then one more.
EPOCHS = 4
LOOK_SECONDS = 0.25


def prove_resume(
    spec: StudySpec, recipe: Recipe, steps_per_epoch: int, surroundings: Surroundings
) -> Proof:
    """Run the script for two epochs, with an interruption and without. Raises TrialFailedError."""
    length = {"epochs": 2, "steps": None}
    if recipe.steps is not None:
        length = {"epochs": None, "steps": 2 * steps_per_epoch}
    with tempfile.TemporaryDirectory(prefix="lrsearch-") as place:
        runs = _Runs(spec, recipe.model_copy(update=length), surroundings, Path(place))
        return prove(runs, Path(place))


class _Runs:
    """Runs of one recipe, each in a new process."""

    def __init__(
        self, spec: StudySpec, recipe: Recipe, surroundings: Surroundings, place: Path
    ) -> None:
        self.spec, self.recipe, self.surroundings = spec, recipe, surroundings
        self.place, self.count = place, 0

    def __call__(self, *, save: Path | None = None, resume: Path | None = None) -> Outcome:
        here = self.surroundings
        self.count += 1
        folder = self.place / f"run-{self.count}"
        start = Start(
            kind="check",
            recipe=self.recipe.to_dict(),
            device=here.device,
            threads=here.threads,
            folder=str(folder),
            metric=self.spec.objective.metric,
            direction=self.spec.objective.direction,
            resume=None if resume is None else str(resume),
        )
        process = ScriptProcess(here.supervisor, here.launch, start, folder / OUTPUT)
        try:
            process.connect(lambda: None, here.stop)
            return _followed(process, save)
        finally:
            process.end("checked")


def _followed(process: ScriptProcess, save: Path | None) -> Outcome:
    """What the process tells, to its end or to the second epoch. Raises TrialFailedError."""
    reports: list[dict[str, float]] = []
    hints: list[str] = []
    while True:
        match process.receive(LOOK_SECONDS):
            case Report() as report:
                averaged = report.metrics_ema or {}
                averages = {f"{name} of averages": value for name, value in averaged.items()}
                reports.append({**report.metrics, **averages})
                process.send(GoOn())
            case Boundary(epoch=epoch):
                if save is not None and epoch >= 1:
                    process.send(Save(path=str(save)))
                else:
                    process.send(GoOn())
            case Saved():
                return Outcome(reports=reports, digests={}, hints=hints)
            case Hint(text=text):
                hints.append(text)
            case Failed(error=error):
                raise TrialFailedError(error)
            case Diverged(reason=reason):
                raise TrialFailedError(f"it diverges: {reason}; give a calmer baseline")
            case Finished(digests=digests):
                return Outcome(reports=reports, digests=digests or {}, hints=hints)
