"""A trial that a training script of the user's own trains, in a process of its own."""

import logging
from collections.abc import Sequence
from pathlib import Path

from lrsearch.child_process.folders import begin_attempt
from lrsearch.own_loop.messages import (
    Beat,
    Boundary,
    Built,
    Diverged,
    Failed,
    Finished,
    GoOn,
    Hint,
    Message,
    Report,
    Save,
    Saved,
    SaveModel,
    SaveSoon,
)
from lrsearch.private_files import make_private_folder, private
from lrsearch.recipe.recipe import Recipe
from lrsearch.spec.study_spec import StudySpec
from lrsearch.training.failures import TrialFailedError
from lrsearch.training.training import Purpose
from lrsearch.trial.curve import Validation
from lrsearch.worker.scripts.checkpoint import Checkpoint, facts_of, read_checkpoint
from lrsearch.worker.scripts.kept import keep, kept_row, weights_file
from lrsearch.worker.scripts.process import ScriptProcess
from lrsearch.worker.scripts.surroundings import Surroundings
from lrsearch.worker.user_process.training import ProcessTraining, Reported

log = logging.getLogger("lrsearch")

#: How long a worker that is to stop waits for the script to come to where it can be saved.
SAVE_SOON_SECONDS = 10.0
#: How long a script may take to write its state.
SAVE_SECONDS = 600.0
LOOK_SECONDS = 0.2


class ScriptTraining(ProcessTraining):
    """See `ProcessTraining`. The script waits for an answer at each report and epoch."""

    def __init__(
        self,
        spec: StudySpec,
        recipe: Recipe,
        purpose: Purpose,
        folder: Path,
        surroundings: Surroundings,
    ) -> None:
        super().__init__(spec, recipe, purpose, folder)
        self.surroundings = surroundings
        self.process: ScriptProcess | None = None
        self.steps_per_epoch = 0
        #: Whether the script waits for an answer, and whether it can be saved meanwhile.
        self.is_asking = self.at_boundary = False
        #: A state that the script goes on from.
        self._resume: Path | None = None
        self._kept_row: Validation | None = None

    # Training.

    def go_on(self, seconds: float) -> None:
        """Let the script train until it reports, comes to an epoch's end, or so long.

        Raises TrialFailedError when it failed.
        """
        if self.process is None and not self._begin():
            return
        assert self.process is not None
        if self.is_asking:
            self.is_asking = self.at_boundary = False
            self.process.send(GoOn())
        message = self.process.receive(seconds)
        if message is not None:
            self._take(message)

    def _begin(self) -> bool:
        """Start the process; False if the worker is to stop before it has connected."""
        here, purpose = self.surroundings, self.purpose
        goes_on = self._resume is not None
        output = begin_attempt(self.folder, purpose.attempt, purpose.worker, goes_on=goes_on)
        self.process = here.start(
            purpose.kind,
            self.recipe,
            self.spec.objective,
            self.folder,
            output,
            resume=self._resume,
        )
        if not self.process.connect(self.beat, here.stop):
            self.process.end("stopped")
            self.process = None
        return self.process is not None

    def _take(self, message: Message) -> None:
        self.beat()
        match message:
            case Report():
                self._take_report(message)
            case Boundary():
                self.is_asking = self.at_boundary = True
                self._stand(message.step, message.epoch, message.seconds)
            case Beat():
                self.step, self.seconds = message.step, message.seconds
            case Built():
                self.steps_per_epoch = message.steps_per_epoch
            case Diverged():
                self.step, self.diverged = message.step, message.reason
            case Finished():
                self._finish(message)
            case Failed():
                self.seconds = message.seconds
                raise TrialFailedError(message.error)
            case Hint():
                self._say(message.text)
            case _:
                raise TrialFailedError(f"the script's process said {message!r} out of turn")

    def _take_report(self, message: Report) -> None:
        self.is_asking = True
        self.seconds = message.seconds
        if message.start_loss is not None:
            self.start_loss = message.start_loss
        self.waiting = Reported(
            step=message.step,
            epoch=message.epoch,
            metrics=message.metrics,
            metrics_ema=message.metrics_ema,
            lr=message.lr,
            train_loss=message.train_loss,
        )

    def _stand(self, step: int, epoch: float, seconds: float) -> None:
        self.step, self.epochs_done, self.seconds = step, epoch, seconds

    def _finish(self, message: Finished) -> None:
        self._stand(message.step, message.epoch, message.seconds)
        self.finished = True
        if self.progress < 1.0:
            at = f"epoch {message.epoch:.4g} of {self.recipe.epochs}"
            if self.recipe.steps is not None:
                at = f"step {message.step} of {self.recipe.steps}"
            self.end_reason = f"ended by the script at {at}"

    def _say(self, hint: str) -> None:
        if hint not in self.surroundings.hints:
            self.surroundings.hints.add(hint)
            log.warning("%s: %s", self.surroundings.launch.reference, hint)

    def end(self, reason: str | None) -> None:
        """End its process, if there is one; `reason` is None where it has come to its end."""
        if self.process is not None:
            self.process.end(reason)
            self.process = None
        if self._resume is not None:
            self._resume.unlink(missing_ok=True)

    # Checkpoints.

    def may_save(self) -> bool:
        """Whether the script waits where it can be saved; it is asked to come there at a stop."""
        if self.at_boundary or not self.surroundings.stop() or self.process is None:
            return self.at_boundary
        try:
            self._come_to_boundary(self.process)
        except TrialFailedError as failure:
            log.info("the script cannot be saved: %s", failure)
        return self.at_boundary

    def _come_to_boundary(self, process: ScriptProcess) -> None:
        if self.is_asking or self.done:
            return
        process.send(SaveSoon())
        for _ in range(int(SAVE_SOON_SECONDS / LOOK_SECONDS)):
            message = process.receive(LOOK_SECONDS)
            if message is not None:
                self._take(message)
            if self.is_asking or self.done:
                return

    def pack(self, pending: Sequence[Validation] = ()) -> bytes:
        """Raises TrialFailedError where the script cannot write its state."""
        state = self._state()  # first: where the trial stands is known when it is written
        return Checkpoint(
            facts=facts_of(self.recipe, self.surroundings),
            position=self.where(),
            rows=tuple(pending),
            state=state,
        ).to_bytes()

    @property
    def kept_row(self) -> Validation | None:
        return self._kept_row

    def keep_weights(self, row: Validation) -> None:
        """Let the script write its model's weights, as it waits after this validation.

        Nothing is kept where lrsearch does not know its model. Raises TrialFailedError where the
        script cannot write them.
        """
        path = weights_file(self.folder, row.validation)
        averaged = self.recipe.weights == "ema"
        if self._saved(SaveModel(path=str(path.absolute()), averaged=averaged)).bytes:
            keep(self.folder, row)
            self._kept_row = row

    def _state(self) -> bytes:
        """What the script writes for itself."""
        path = self.folder / "saving.pt"
        self._saved(Save(path=str(path.absolute())))
        state = path.read_bytes()
        path.unlink()
        return state

    def _saved(self, wanted: Save | SaveModel) -> Saved:
        """Ask for a file, and wait until it is written."""
        assert self.process is not None
        self.process.send(wanted)
        for _ in range(int(SAVE_SECONDS / LOOK_SECONDS)):
            message = self.process.receive(LOOK_SECONDS)
            self.beat()
            if isinstance(message, Saved):
                return message
            if message is not None:
                self._take(message)
        raise TrialFailedError(f"the script has not written its state within {SAVE_SECONDS:.0f} s")

    def unpack(self, data: bytes, *, says_where: bool = True) -> list[Validation] | None:
        found = read_checkpoint(data, facts_of(self.recipe, self.surroundings))
        if found is None:
            return None
        self.stand_at(found.position)
        kept = kept_row(self.folder)  # of a later validation: the run has to come to it again
        self._kept_row = kept if kept is not None and kept.validation <= self.validated else None
        make_private_folder(self.folder)
        self._resume = self.folder / "resume.pt"
        with open(self._resume, "wb", opener=private) as file:
            file.write(found.state)
        return list(found.rows)
