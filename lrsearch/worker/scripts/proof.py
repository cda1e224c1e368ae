"""The proof that an interrupted trial of a training script agrees with an undisturbed one."""

import tempfile
import time
from pathlib import Path

import torch

from lrsearch.errors import TaskError
from lrsearch.own_loop.messages import (
    Boundary,
    Diverged,
    Failed,
    Finished,
    GoOn,
    Hint,
    Message,
    Report,
    Save,
    Saved,
)
from lrsearch.own_loop.proof import Outcome, Proof, prove
from lrsearch.recipe.recipe import Recipe
from lrsearch.spec.study_spec import StudySpec
from lrsearch.task.task import LoadedCode
from lrsearch.training.failures import TrialFailedError
from lrsearch.worker.scripts.process import ScriptProcess
from lrsearch.worker.scripts.program import ScriptProgram

#: How long a run of two epochs may take.
MOST_SECONDS = 3600.0
LISTEN_SECONDS = 0.25


def prove_script(
    spec: StudySpec,
    loaded: LoadedCode,
    device: torch.device,
    recipe: Recipe,
    steps_per_epoch: int,
) -> Proof:
    """Train two epochs of this recipe, and again with an interruption between them.

    It takes as long as four epochs. `steps_per_epoch`: as the script has told. Raises TaskError in
    one line where the script fails.
    """
    length = {"epochs": 2} if recipe.epochs is not None else {"steps": 2 * steps_per_epoch}
    short = Recipe.from_dict({**recipe.to_dict(), **length}, where="the recipe")
    program = ScriptProgram(spec, loaded, device)
    with tempfile.TemporaryDirectory(prefix="lrsearch-") as folder:
        runs = _Runs(program, short, Path(folder))
        try:
            return prove(runs, Path(folder))
        except TrialFailedError as failure:
            raise TaskError(f"resume cannot be proved: {failure}") from failure
        finally:
            program.close()


class _Runs:
    """Runs the script, in a new process and a folder of its own each time."""

    def __init__(self, program: ScriptProgram, recipe: Recipe, folder: Path) -> None:
        self._program, self._recipe, self._folder = program, recipe, folder
        self._count = 0

    def __call__(self, *, save: Path | None = None, resume: Path | None = None) -> Outcome:
        """See `proof.RunOnce`. Raises TrialFailedError."""
        self._count += 1
        # One that goes on has the folder of the one that was interrupted.
        folder = self._folder / ("straight" if self._count == 1 else "interrupted")
        folder.mkdir(exist_ok=True)
        process = self._program.surroundings.start(
            "check",
            self._recipe,
            self._program.spec.objective,
            folder,
            folder / "output.txt",
            resume=resume,
        )
        try:
            process.connect(lambda: None, lambda: False)
            said = _listen(process, save)
        except TrialFailedError:
            process.end("checked")
            raise
        process.end("checked" if save is not None else None)
        return _outcome(said)


def _listen(process: ScriptProcess, save: Path | None) -> list[Message]:
    """What it says until its end, or until its state is saved. Raises TrialFailedError."""
    said: list[Message] = []
    deadline = time.monotonic() + MOST_SECONDS
    while time.monotonic() < deadline:
        message = process.receive(LISTEN_SECONDS)
        if message is None:
            continue
        said.append(message)
        match message:
            case Failed():
                raise TrialFailedError(message.error)
            case Diverged():
                raise TrialFailedError(f"{message.reason}; give a calmer baseline")
            case Boundary() if save is not None:
                process.send(Save(path=str(save)))
            case Boundary() | Report():
                process.send(GoOn())
            case Finished() if save is not None:
                raise TrialFailedError("the script has no second epoch to begin")
            case Finished() | Saved():
                return said
    raise TrialFailedError(f"two epochs take longer than {MOST_SECONDS:.0f} s")


def _outcome(said: list[Message]) -> Outcome:
    digests = [message.digests for message in said if isinstance(message, Finished)]
    return Outcome(
        reports=[message.metrics for message in said if isinstance(message, Report)],
        digests=(digests[0] if digests else None) or {},
        hints=[message.text for message in said if isinstance(message, Hint)],
    )
