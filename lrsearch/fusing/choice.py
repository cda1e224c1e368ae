"""Which engine a worker trains with and how many trials at once, decided from measured times."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Literal, Protocol, get_args

from lrsearch.fusing.fuse_option import MOST_AT_ONCE
from lrsearch.plain_data import Document

#: Trials are fused if a trial-step is so many times faster than one by one. A smaller gain is lost
#: to places that stand empty, or is the noise of a calibration (a tenth, measured).
LEAST_GAIN = 1.15
#: A gain below this is timed once more, and the smaller one counts: of several sizes the one that
#: noise flatters is taken. Of six calibrations of an `EmbeddingBag` five found 0.99 to 1.13 with
#: four at once and one more than `LEAST_GAIN`; whole trials then had 0.77 of the speed
#: (benchmarks/auto.py).
CLEAR_GAIN = 1.3
#: The smallest size whose time is within this factor of the best is taken: the fewer trials train
#: at once, the more trials begin with what earlier ones taught the sampler.
CLOSE = 1.10
#: A larger size is tried where the last one was so many times as fast as the one before: 1.06 for
#: benchmarks/zoo.py:autoencoder from two to four, of which sixteen train twice as fast as one.
GROWING = 1.03
#: Share of a study's trials that may be in training at once, over all its workers.
LARGEST_SHARE = 0.25
#: Why a study has its trials one by one where that is fewer than two for each worker.
TOO_FEW = "a quarter of the full trainings is fewer than two for each worker"
#: A calibration tries these, and the largest size that is allowed.
SIZES = (2, 4, 8, 16, 32, 64)
#: Share of a search's steps that is trained where pruning is on: 616 of 1800 epochs in the
#: quickstart.
PRUNED_SHARE = 0.34
#: Share of the time that fusing is expected to save, before it is measured. It saves between
#: nothing and two thirds (the smallest models).
EXPECTED_SAVING = 0.33
#: What a probe takes, in seconds, where the model is small.
PROBE_SECONDS = 0.1
#: A calibration takes at most this share of the training to come, but that many seconds at least
#: and at most.
CALIBRATION_SHARE, LEAST_SECONDS, MOST_SECONDS = 0.02, 1.2, 3.0
#: A calibration trains some hundred steps itself; a study with fewer than this is left alone.
LEAST_STEPS = 1000


#: One trial at a time, with its own steps or with a compiled one; several as one program.
EngineName = Literal["solo", "compiled", "fused"]
ENGINES: tuple[EngineName, ...] = get_args(EngineName)
#: Fields of a choice that are columns of its row.
RECORDED = (
    "engine",
    "size",
    "reason",
    "probe_seconds",
    "calibration_seconds",
    "timings",
    "most",
    "fits",
    "precision",
    "device",
)


class Recorded(Protocol):
    """A choice as it was recorded with a study."""

    @property
    def engine(self) -> str: ...
    @property
    def size(self) -> int: ...
    @property
    def reason(self) -> str: ...
    @property
    def probe_seconds(self) -> float: ...
    @property
    def calibration_seconds(self) -> float: ...
    @property
    def timings(self) -> Mapping[str, float]: ...
    @property
    def most(self) -> int: ...
    @property
    def fits(self) -> bool | None: ...
    @property
    def precision(self) -> str: ...
    @property
    def device(self) -> str: ...


@dataclass(frozen=True, kw_only=True)
class Choice:
    """An engine and its places. `size` is at least 2 for `fused`, else 1."""

    engine: EngineName
    size: int
    #: Why, in words for people; on one line.
    reason: str
    #: What it took to find out, in seconds.
    probe_seconds: float = 0.0
    calibration_seconds: float = 0.0
    #: Seconds per trial-step by the number of trials at once; 1 is the solo engine.
    timings: Mapping[int, float] = field(default_factory=dict)
    #: How many trials at once it was calibrated up to.
    most: int = 1
    #: Whether the task can be fused at all; None if that was not tried.
    fits: bool | None = None
    precision: str = "fp32"
    #: Name of the hardware, not its number on a machine.
    device: str = ""

    @classmethod
    def solo(cls, reason: str, *, fits: bool | None = None, probe_seconds: float = 0.0) -> "Choice":
        """One trial at a time, for this reason."""
        return cls(engine="solo", size=1, reason=reason, fits=fits, probe_seconds=probe_seconds)

    @classmethod
    def from_row(cls, row: Recorded) -> "Choice":
        """As it was recorded with a study."""
        return cls(
            engine=next((name for name in ENGINES if name == row.engine), "solo"),
            size=row.size,
            reason=row.reason,
            probe_seconds=row.probe_seconds,
            calibration_seconds=row.calibration_seconds,
            timings={int(size): seconds for size, seconds in row.timings.items()},
            most=row.most,
            fits=row.fits,
            precision=row.precision,
            device=row.device,
        )

    def to_row(self) -> Document:
        """What is recorded with a study."""
        fields = {name: value for name, value in asdict(self).items() if name in RECORDED}
        return {**fields, "timings": {str(size): t for size, t in self.timings.items()}}

    @property
    def title(self) -> str:
        """For people, short: `fused, 8 trials at once: 1.9x over one by one`."""
        fused = f"fused, {self.size} trials at once"
        engine = {"solo": "one by one", "compiled": "one by one, compiled", "fused": fused}
        return f"{engine[self.engine]}: {self.reason}"

    @property
    def speedup(self) -> float | None:
        """How much quicker a trial-step is than one by one; None if that was not measured."""
        if 1 not in self.timings or self.size not in self.timings:
            return None
        return self.timings[1] / self.timings[self.size]

    def is_faster_alone(self, count: int, size: int) -> bool:
        """Whether `count` trials are trained sooner one after the other than in `size` places.

        By the timings, straight between two sizes; without any, a single trial is.
        """
        known = sorted(self.timings)
        if not known or known[0] != 1:
            return count == 1
        above = next((k for k in known if k >= size), known[-1])
        below = max((k for k in known if k <= size), default=1)
        share = (size - below) / (above - below) if above > below else 0.0
        steps = [k * self.timings[k] for k in (below, above)]
        return count * self.timings[1] < steps[0] + share * (steps[1] - steps[0])

    @property
    def line(self) -> str:
        """One line for the log."""
        cost = ""
        if self.probe_seconds or self.calibration_seconds:
            cost = f" (probe {self.probe_seconds:.1f} s, "
            cost += f"calibration {self.calibration_seconds:.1f} s)"
        if self.engine != "fused":
            return f'fuse=off engine={self.engine} reason="{self.reason}"{cost}'
        why = f'reason="{self.reason}"'
        if self.speedup is not None:
            why = f"speedup={self.speedup:.1f}x over one by one"
        return f"fuse=on engine=fused K={self.size} {why}{cost}"


@dataclass(frozen=True, kw_only=True)
class Workload:
    """How much a study trains in all, and how much is left. A field is infinite without a limit."""

    #: Optimizer steps of a full trial.
    trial_steps: float
    #: Workers that share the training.
    workers: int = 1
    #: Full trials that the budget allows in all.
    trials: float = math.inf
    #: Optimizer steps that search and confirmation have still to train.
    steps_left: float = math.inf
    #: Wall-clock seconds, in all and still to come.
    seconds: float = math.inf
    seconds_left: float = math.inf

    def most_at_once(self, step_seconds: float) -> int:
        """How many trials each worker may train at once, if a step of one trial takes so long.

        A quarter of the trials, over all workers: sampling and pruning learn from the others. A
        budget of time is converted to full trials. Trials that run when it ends then exceed it by
        at most a quarter.
        """
        trials = self.trials
        if step_seconds > 0:
            trials = min(trials, self.workers * self.seconds / (self.trial_steps * step_seconds))
        share = LARGEST_SHARE * trials / self.workers
        return math.floor(min(share, MOST_AT_ONCE))

    def training_seconds(self, step_seconds: float) -> float:
        """How long each worker trains one trial at a time, if a step takes so long."""
        return min(self.steps_left * step_seconds / self.workers, self.seconds_left)


def sizes_to_try(most: int) -> list[int]:
    """The sizes that a calibration times, rising; `most` too where it is well above the others."""
    sizes = [size for size in SIZES if size <= most]
    if sizes and sizes[-1] < SIZES[-1] and most >= 1.5 * sizes[-1]:
        sizes.append(most)
    return sizes


def best_size(timings: Mapping[int, float], most: int) -> int:
    """The size to train with; 1 is one by one.

    `timings` are seconds per trial-step by size, that of 1 among them; sizes above `most` are left
    out.
    """
    solo = timings[1]
    allowed = {size: seconds for size, seconds in timings.items() if 1 < size <= most}
    if not allowed:
        return 1
    limit = min(CLOSE * min(allowed.values()), solo / LEAST_GAIN)
    return min((size for size, seconds in allowed.items() if seconds <= limit), default=1)


def covers(timings: Mapping[int, float], tried: int, most: int) -> bool:
    """Whether timings of a calibration up to `tried` also answer for one up to `most`.

    They do if they have every size that it would time. They also do if the calibration stopped
    before its largest size: it stops when a larger cohort is no faster.
    """
    last = max(timings)
    missing = [size for size in sizes_to_try(most) if size not in timings]
    ended = last < max(sizes_to_try(tried), default=1)
    return all(ended and size > last for size in missing)


def calibration_budget(seconds: float) -> float | None:
    """How many seconds a calibration may take before so many seconds of training.

    None if fusing is expected to save less time than probe and calibration take.
    """
    budget = min(max(CALIBRATION_SHARE * seconds, LEAST_SECONDS), MOST_SECONDS)
    return budget if EXPECTED_SAVING * seconds > PROBE_SECONDS + budget else None


def decide(timings: Mapping[int, float], most: int) -> tuple[Literal["solo", "fused"], int, str]:
    """Engine, size and reason for these timings, as in `best_size`."""
    size = best_size(timings, most)
    if size > 1:
        return "fused", size, f"{timings[1] / timings[size]:.1f}x over one by one"
    allowed = {size: seconds for size, seconds in timings.items() if 1 < size <= most}
    if most < 2:
        return "solo", 1, TOO_FEW
    if not allowed:
        return "solo", 1, "there was no time or memory to try several at once"
    best = min(allowed, key=allowed.__getitem__)
    gain = timings[1] / allowed[best]
    return "solo", 1, f"{best} at once are {gain:.2f}x over one by one, {LEAST_GAIN} is needed"


def is_close(timings: Mapping[int, float], size: int) -> bool:
    """Whether the gain of a size that is to be trained with is small enough to be noise."""
    return size > 1 and timings[1] / timings[size] < CLEAR_GAIN


def gains(timings: Sequence[float]) -> bool:
    """Whether the last doubling of the size saved time, so that the next one may, too."""
    return len(timings) < 2 or timings[-2] >= GROWING * timings[-1]
