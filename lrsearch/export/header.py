"""Origin: where an exported recipe comes from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lrsearch.spec.initial_weights import InitialWeights
from lrsearch.spec.parts import ValidateEvery


@dataclass(frozen=True, kw_only=True)
class Origin:
    study: str
    trial_number: int
    #: Optimizer steps in an epoch of the trial.
    steps_per_epoch: int
    #: The trial's objective; None if it has none.
    value: float | None
    metric: str
    #: Package to version, of what trained the study.
    versions: Mapping[str, str]
    validate_every: ValidateEvery
    #: Where trials were judged, as fractions of the horizon.
    rungs: Sequence[float] = ()
    #: The weights that the trial started from; None for those of its model.
    init: InitialWeights | None = None
    #: What trains the recipe with the user's own script, for a shell; None for a task.
    command: str | None = None

    #: What a reader has to know beside the recipe, a sentence each.
    notes: Sequence[str] = ()

    def lines(self) -> list[str]:
        """Lines of a comment: where the recipe comes from, and the notes."""
        lines = [self.trial(), f"Searched with {self.software()}"]
        if self.init is not None:
            lines.append(f"Starts from {self.init.file!r}, SHA-256 {self.init.sha256}")
        if self.command is not None:
            lines.append(f"Trained by: {self.command}")
        return [*lines, *self.notes]

    def trial(self) -> str:
        """`Study digits, trial 17: val_loss 0.0612`, on one line whatever the names hold."""
        value = "" if self.value is None else f": {self.metric} {self.value:.6g}"
        return " ".join(f"Study {self.study}, trial {self.trial_number}{value}".split())

    def software(self) -> str:
        """`lrsearch 0.1.0, torch 2.13.0`."""
        names = [name for name in ("lrsearch", "torch") if name in self.versions]
        return ", ".join(f"{name} {self.versions[name]}" for name in names)
