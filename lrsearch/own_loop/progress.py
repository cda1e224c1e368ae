"""How far a run of a user's loop is, and how long it has taken."""

import time
from collections.abc import Mapping

#: Seconds between two beats at least.
BEAT_SECONDS = 1.0


class Progress:
    """Epochs and steps of the loop, and the seconds that it trains and validates."""

    def __init__(self) -> None:
        #: That of `run.epochs()` in training; the first is 0.
        self.epoch = 0
        #: That of `run.steps()` in training.
        self.iteration = 0
        #: Steps of the run when its epoch in training began.
        self.steps_at_top = 0
        self._seconds = 0.0
        #: When the clock last went on; None while it stands.
        self._since: float | None = None
        self._beaten = time.monotonic()

    @property
    def seconds(self) -> float:
        """So far, those before an interruption included."""
        return self._seconds + (0.0 if self._since is None else time.monotonic() - self._since)

    def go_on(self) -> None:
        """Let the clock go, if it does not."""
        if self._since is None:
            self._since = time.monotonic()

    def stand(self) -> None:
        """Let the clock stand: the worker is asked, or the state written."""
        self._seconds, self._since = self.seconds, None

    def is_beat_due(self) -> bool:
        """Whether a second has passed since the last beat; it has been given, if so."""
        now = time.monotonic()
        due = now - self._beaten >= BEAT_SECONDS
        self._beaten = now if due else self._beaten
        return due

    def state_dict(self) -> dict[str, float]:
        return {
            "epoch": self.epoch,
            "iteration": self.iteration,
            "steps_at_top": self.steps_at_top,
            "seconds": self.seconds,
        }

    def load_state_dict(self, state: Mapping[str, float]) -> None:
        counts = {key: int(value) for key, value in state.items()}
        self.epoch, self.iteration = counts["epoch"], counts["iteration"]
        self.steps_at_top = counts["steps_at_top"]
        self._seconds = state["seconds"]
        self._since = None
