"""A trial that a command trains: its words are filled in, and its metrics are read as they come."""

import json
import logging
import math
import time
from collections.abc import Sequence
from pathlib import Path

from lrsearch.child_process.folders import OUTPUT, begin_attempt
from lrsearch.child_process.supervisor import Child, Supervisor
from lrsearch.command.continued import Continued
from lrsearch.command.interpreter import missing_module
from lrsearch.command.metrics import reader_for
from lrsearch.command.reading import Reader, Reading
from lrsearch.command.template import fill
from lrsearch.errors import describe
from lrsearch.private_files import private
from lrsearch.recipe.recipe import Recipe
from lrsearch.spec.command_line import values_of
from lrsearch.spec.study_spec import StudySpec
from lrsearch.training.failures import ProcessKilledError, TrialFailedError
from lrsearch.training.training import Purpose
from lrsearch.trial.curve import Validation
from lrsearch.worker.user_process.ended import ended_badly
from lrsearch.worker.user_process.environment import environment_without_secrets
from lrsearch.worker.user_process.position import Position
from lrsearch.worker.user_process.training import ProcessTraining, Reported

log = logging.getLogger("lrsearch")

#: How often the command's output is looked at.
LOOK_SECONDS = 0.1
#: The recipe as a file, for `{recipe}`.
RECIPE = "recipe.json"
NO_STEP = (
    "the length is in steps, but the reports do not say their step; let a pattern have a group "
    r"(?P<step>\d+), or give the length in epochs"
)
#: Changes when an older checkpoint can no longer be read.
FORMAT = 1


class CommandTraining(ProcessTraining):
    """See `ProcessTraining`. The command never waits for an answer."""

    def __init__(
        self,
        spec: StudySpec,
        recipe: Recipe,
        purpose: Purpose,
        folder: Path,
        supervisor: Supervisor,
        *,
        device: str,
        reports: int | None,
    ) -> None:
        """`reports` are those of a whole run, where the study does not say how long that is."""
        super().__init__(spec, recipe, purpose, folder)
        self.supervisor, self.device, self.reports = supervisor, device, reports
        self.child: Child | None = None
        self.reader: Reader | None = None
        self._readings: list[Reading] = []
        self._continued = Continued((), 0)
        self._spent_before, self._started = 0.0, 0.0
        self._goes_on = False
        #: Whether the command could not go on with `resume_args`, and was begun again without.
        self._begun_again = False
        #: Whether this attempt has reported.
        self._has_reported = False
        #: What the command calls its first epoch: 0 or 1.
        self._first_epoch = 1

    @property
    def counts_reports(self) -> bool:
        """Whether progress is counted in reports, as nothing else is known."""
        return self.recipe.epochs is None and self.recipe.steps is None

    @property
    def progress(self) -> float:
        if self.counts_reports:
            if self.finished:
                return 1.0
            return 0.0 if self.reports is None else min(1.0, self.validated / self.reports)
        return super().progress

    @property
    def epochs(self) -> float:
        """Epochs; of a command whose length is not known, whole runs."""
        return self.progress if self.counts_reports else self.epochs_done

    def go_on(self, seconds: float) -> None:
        """Wait for the next report, for the end, or so long. Raises TrialFailedError."""
        if self.child is None:
            self.begin()
        deadline = time.monotonic() + seconds
        while not self._look() and time.monotonic() < deadline:
            time.sleep(LOOK_SECONDS)

    def begin(self) -> None:
        """Start the command. Raises TrialFailedError where it cannot be run."""
        purpose, goes_on = self.purpose, self._goes_on
        output = begin_attempt(self.folder, purpose.attempt, purpose.worker, goes_on=goes_on)
        (self.folder / RECIPE).write_text(json.dumps(self.recipe.to_dict(), indent=2))
        with open(output, "a", opener=private) as file:
            words = self.words()
            # What was killed while it printed has left half a line.
            file.write(f"{chr(10) if file.tell() else ''}$ {' '.join(words)}\n")
        environment = environment_without_secrets()
        environment |= {"PYTHONUNBUFFERED": "1", **_visible(self.device)}
        metric = self.spec.objective.metric
        self.reader = reader_for(self.spec.reports(metric), output, self.folder, metric=metric)
        if self._goes_on:
            self._continued = Continued(self.reader.poll(ended=True), self.validated)
            first = self._continued.first
            self._first_epoch = 0 if first is not None and first.epoch == 0 else 1
        else:
            self.reader.skip()
        self._started = time.monotonic()
        try:
            self.child = self.supervisor.start(
                words, env=environment, cwd=Path.cwd(), output=output
            )
        except OSError as error:
            raise TrialFailedError(f"{error.filename} cannot be run: {error.strerror}") from error

    def words(self) -> list[str]:
        """The command with its placeholders filled in."""
        folder = self.folder.absolute()
        values = values_of(self.recipe, folder=folder, file=folder / RECIPE)
        more = self.spec.resume_args if self._goes_on and not self._begun_again else ()
        return fill([*self.spec.command, *more], values, self.spec.names)

    def _look(self) -> bool:
        """Whether there is a report, or the command has ended."""
        assert self.child is not None
        assert self.reader is not None
        self.beat()
        self.seconds = self._spent_before + time.monotonic() - self._started
        status = self.child.poll()  # before its output is read: the last lines are there then
        new = self.reader.poll(ended=status is not None)
        self._has_reported |= bool(new)
        self._readings += self._continued.join(new)
        if status == 0:
            self._readings += self._continued.rest()
        if self._readings:
            self.waiting = self.placed(self._readings.pop(0))
            return True
        if status is not None:
            self._end_of(status)
        return status is not None

    def _end_of(self, status: int) -> None:
        if status != 0:
            failure = ended_badly("the command", status, self.folder / OUTPUT)
            if self._cannot_go_on(failure):
                self._begin_again(failure)
                return
            raise type(failure)(f"{failure}{missing_module(str(failure), self.words())}")
        assert self.reader is not None
        if self.validated == 0:
            raise TrialFailedError(f"the command ended without a report: {self.reader.explain()}")
        self.finished = True
        if not self.counts_reports and self.progress < 1.0:
            whole = self.recipe.epochs or self.recipe.steps
            unit = "epoch" if self.recipe.epochs else "step"
            at = self.epochs_done if self.recipe.epochs else self.step
            self.end_reason = f"ended by the command at {unit} {at:.4g} of {whole}"

    def _cannot_go_on(self, failure: TrialFailedError) -> bool:
        """Whether it has ended because of `resume_args`: its checkpoint may not have been there.

        Its reports have to say where they stand, so that those of the new beginning are known.
        """
        tried = self._goes_on and not self._begun_again and not self._has_reported
        killed = isinstance(failure, ProcessKilledError)
        return tried and not killed and self._continued.counts

    def _begin_again(self, failure: TrialFailedError) -> None:
        """Run the command from its start; the curve takes what it does not have yet."""
        log.warning("%s; it could not go on with resume_args and begins anew", failure)
        self.end("begins anew")
        self._begun_again, self._spent_before = True, self.seconds
        self.begin()

    def placed(self, reading: Reading) -> Reported:
        """A reading with its place: as the command says it, else the number of the report.

        Raises TrialFailedError where the length is in steps and the reading does not say its step.
        """
        if self.recipe.steps is not None:
            if reading.step is None:
                raise TrialFailedError(NO_STEP)
            # An epoch of a command is a step, as nothing else is known of it.
            return Reported(step=reading.step, epoch=float(reading.step), metrics=reading.metrics)
        count = self.validated + 1
        if count == 1 and reading.epoch == 0:
            self._first_epoch = 0
        epoch = float(count) if reading.epoch is None else reading.epoch + 1 - self._first_epoch
        step = reading.step if reading.step is not None else math.ceil(epoch)
        return Reported(step=step, epoch=epoch, metrics=reading.metrics)

    def end(self, reason: str | None) -> None:
        """End the command's process group, SIGTERM first."""
        if self.child is not None:
            self.child.end(self.spec.end.grace)
            self.child = None

    # A command keeps its own checkpoints: what is saved here is how far its curve is.

    def may_save(self) -> bool:
        return bool(self.spec.resume_args) and self.validated > 0

    def pack(self, pending: Sequence[Validation] = ()) -> bytes:
        state = {
            "format": FORMAT,
            "recipe": self.recipe.to_dict(),
            "rows": [row.to_dict() for row in pending],
            "position": self.where().to_dict(),
        }
        return json.dumps(state).encode()

    def unpack(self, data: bytes, *, says_where: bool = True) -> list[Validation] | None:
        try:
            found = json.loads(data)
            rows = [Validation.from_dict(row) for row in found["rows"]]
            # Earlier checkpoints have the rungs beside the position.
            position = Position.from_dict({"rungs": found.get("rungs", ()), **found["position"]})
            same = (found["format"], found["recipe"]) == (FORMAT, self.recipe.to_dict())
        except (ValueError, KeyError, TypeError) as error:
            log.warning("a checkpoint cannot be read, starting anew: %s", describe(error))
            return None
        if not same or not self.folder.is_dir():
            log.warning("the command's folder %s is not here; starting anew", self.folder)
            return None
        self.stand_at(position)
        self._goes_on, self._spent_before = True, self.seconds
        return rows


def _visible(device: str) -> dict[str, str]:
    """What shows a command its device alone."""
    kind, _, index = device.partition(":")
    return {"CUDA_VISIBLE_DEVICES": index or "0"} if kind == "cuda" else {}
