"""Checkpoints: everything a trial needs to go on to the same weights, and its rows, as bytes."""

import io
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor
from torch.optim.optimizer import StateDict
from torch.utils._pytree import PyTree, tree_map

from lrsearch.errors import describe
from lrsearch.plain_data import Fields
from lrsearch.training.checkpoint_file import load_plain, require_alike
from lrsearch.training.data import to_device
from lrsearch.training.flat_optimizer import OptimizerState, gather_state, spread_state
from lrsearch.training.kept_weights import KeptWeights
from lrsearch.training.precision import tf32
from lrsearch.training.randomness import RandomStates
from lrsearch.training.trial_training import TrialTraining
from lrsearch.trial.curve import Validation

log = logging.getLogger("lrsearch")

#: Changes when an older checkpoint can no longer be read.
FORMAT = 5


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What must be equal for a resumed trial to give the same bits."""

    format: int
    engine: str
    cohort: int
    torch: str
    device: str
    threads: int
    fused: bool
    tf32: str
    #: Another study of this name, since deleted or extended, may have left the file.
    recipe: Fields
    #: Processes that train it.
    processes: int

    @classmethod
    def of(cls, training: TrialTraining) -> "Facts":
        return cls(
            format=FORMAT,
            engine=training.engine,
            cohort=training.cohort,
            torch=str(torch.__version__),
            device=training.device.type,
            threads=torch.get_num_threads(),
            fused=bool(training.recipe.optimizer.get("fused")),
            tf32=tf32(training.device),
            recipe=training.recipe.to_dict(),
            processes=training.processes,
        )

    @property
    def where(self) -> str:
        """In which engine, in words."""
        alone = {"solo": "one by one", "compiled": "with compiled steps"}
        return alone.get(self.engine, f"with {self.cohort} at once")


#: Facts that may differ: the engines agree to rounding.
_MAY_DIFFER = ("engine", "cohort")


@dataclass(frozen=True, kw_only=True)
class Position:
    """Where a trial stands, in its own attributes."""

    step: int
    validated: int
    seconds: float
    start_loss: float
    diverged: str | None
    loss_seen: float
    steps_seen: int
    loss_steps: int
    lr: float
    grad_norm: float

    @classmethod
    def of(cls, training: TrialTraining) -> "Position":
        return cls(**{field.name: getattr(training, field.name) for field in fields(cls)})

    def put(self, training: TrialTraining) -> None:
        for name, value in vars(self).items():
            setattr(training, name, value)


@dataclass(frozen=True, kw_only=True)
class _State:
    """What a checkpoint holds: tensors and plain values."""

    facts: Fields
    model: Mapping[str, Tensor]
    #: Buffers that a model's state dict leaves out.
    buffers: Mapping[str, Tensor]
    optimizer: StateDict
    #: Whether the optimizer's parameter was a row.
    flat: bool
    scheduler: StateDict
    scaler: StateDict | None
    ema: Sequence[Tensor] | None
    rng: Tensor
    #: Of `random` and `numpy.random`; None if they stand where they stood at the trial's start.
    other_rng: Tensor | None
    accelerator_rng: Tensor | None
    position: Fields
    loss_sum: Tensor
    #: What is carried from batch to batch.
    carried: PyTree
    #: As JSON: the unpickler that runs no code takes 10 us a value.
    rows: str
    #: Weights of an earlier validation, see `kept_weights`.
    kept: Mapping[str, PyTree] | None = None
    #: Step that another run had trained to.
    began: int = 0
    #: Random streams of the other processes that train it.
    others: Sequence[Mapping[str, PyTree]] = ()


def pack(training: TrialTraining, pending: Sequence[Validation] = ()) -> bytes:
    """The trial's state, and the rows of its curve that are not in the database yet."""
    streams = RandomStates.now(training.device)
    at_start = torch.equal(streams.other_rng, training.random_at_start.numbers())
    state = _State(
        facts=vars(Facts.of(training)),
        # Copies: what is saved of a view is all that it is a view of.
        model={name: _copy(value) for name, value in training.model.state_dict().items()},
        buffers={name: _copy(value) for name, value in _left_out(training).items()},
        optimizer=tree_map(_copy, training.optimizer.state_dict()),
        flat=training.is_flat,
        scheduler=training.scheduler.state_dict(),
        scaler=None if training.scaler is None else training.scaler.state_dict(),
        ema=None if training.ema is None else [_copy(part) for part in training.ema.average],
        rng=streams.rng,
        other_rng=None if at_start else streams.other_rng,
        accelerator_rng=streams.device_rng,
        position=vars(Position.of(training)),
        loss_sum=_copy(training.loss_sum),
        carried=tree_map(_copy, training.carried),
        rows=json.dumps([row.to_dict() for row in pending]),
        kept=None if training.kept_weights is None else training.kept_weights.to_plain(),
        began=training.began,
        others=[vars(state) for state in training.random_states()],
    )
    buffer = io.BytesIO()
    torch.save(vars(state), buffer)
    return buffer.getvalue()


def unpack(
    training: TrialTraining, data: bytes, *, says_where: bool = True, branches: bool = False
) -> list[Validation] | None:
    """Put a fresh `training` where the checkpoint stands; the rows that came along.

    Where it was made by another engine, a line in the log says so unless `says_where` is False.
    `branches`: it may be of a run of another horizon, as far as both trained alike to its step.

    None, with a line in the log and `training` still at its start, when the checkpoint was made
    under other facts (going on from there would give other bits than an uninterrupted run) or
    cannot be read. It runs no code, whatever the bytes are.
    """
    mine = Facts.of(training)
    try:
        # Onto the CPU: each state then goes where it belongs, and Adam's step counts stay there, as
        # in a run from the start (on the device each of them would be waited for in every step).
        saved = _with_younger_facts(load_plain(data))
        theirs = _of_any_horizon(training, saved) if branches else saved["facts"]
        other = [name for name, value in vars(mine).items() if theirs.get(name) != value]
        elsewhere = [other.pop(other.index(name)) for name in _MAY_DIFFER if name in other]
        state = None if other else _State(**saved)
        curve = [] if state is None else _read_rows(state.rows)
    except Exception as error:  # bytes can be wrong in more ways than torch has errors for
        log.warning("a checkpoint cannot be read, starting anew: %s", describe(error))
        return None
    if state is None:
        log.warning("a checkpoint was made with another %s; starting anew", " and ".join(other))
        return None
    try:
        others = _apply(training, state)
        training.began = training.step if branches else int(state.began)
    except Exception as error:  # a state of another shape: the task's model has changed
        training.restart()
        log.warning("a checkpoint does not fit, starting anew: %s", describe(error))
        return None
    training.stood(data, others, branches=branches)
    if elsewhere and says_where:
        made, goes_on = Facts(**state.facts).where, mine.where
        log.info("a checkpoint made %s goes on %s: equal to rounding", made, goes_on)
    return curve


def _with_younger_facts(saved: Mapping[str, PyTree]) -> dict[str, PyTree]:
    """A checkpoint's content, also of one that is older than some facts."""
    return {**saved, "facts": {"processes": 1, **saved["facts"]}}


def _of_any_horizon(training: TrialTraining, saved: Mapping[str, PyTree]) -> Fields:
    """Another run's facts with this one's horizon, if it was validated where this one is."""
    mine, facts, position = training.recipe.to_dict(), saved["facts"], saved["position"]
    horizon = {name: mine[name] for name in ("epochs", "steps")}
    due = sum(step <= position["step"] for step in training.plan.validations)
    if due != position["validated"]:
        return {**facts, "recipe": "number of validations"}
    return {**facts, "recipe": {**facts["recipe"], **horizon}}


def _read_rows(text: str) -> list[Validation]:
    """Raises ValueError or TypeError for what `pack` never wrote."""
    rows = [Validation.from_dict(row) for row in json.loads(text)]
    for row in rows:
        for name, value in vars(row).items():
            if not isinstance(value, int | float | dict | None):
                raise ValueError(f"{name} = {value!r:.100} in a row of its curve")
    return rows


def _apply(training: TrialTraining, state: _State) -> list[RandomStates]:
    """Stand there; the random streams of the other processes that train it."""
    training.model.load_state_dict(state.model)
    for name, value in _left_out(training).items():
        value.copy_(state.buffers[name])
    # Constructing a scheduler rewrites the optimizer's lr, so its state comes after both exist.
    training.optimizer.load_state_dict(_optimizer_state(training, state))
    require_alike("scheduler", training.scheduler.state_dict(), state.scheduler)
    training.scheduler.load_state_dict(state.scheduler)
    if training.scaler is not None and state.scaler is not None:
        require_alike("scaler", training.scaler.state_dict(), state.scaler)
        training.scaler.load_state_dict(state.scaler)
    if training.ema is not None and state.ema is not None:
        for mine, saved in zip(training.ema.average, state.ema, strict=True):
            mine.copy_(saved)
    require_alike("position", vars(Position.of(training)), state.position)
    Position(**state.position).put(training)
    training.loss_sum.copy_(state.loss_sum)
    training.carried = to_device(state.carried, training.device)
    training.kept_weights = None if state.kept is None else KeptWeights.from_plain(state.kept)
    at_start = training.random_at_start.numbers()
    other_rng = at_start if state.other_rng is None else state.other_rng
    streams = RandomStates(rng=state.rng, other_rng=other_rng, device_rng=state.accelerator_rng)
    streams.put(training.device)
    return [RandomStates(**other) for other in state.others]


def _left_out(training: TrialTraining) -> dict[str, Tensor]:
    """Buffers that are not persistent: a model's state dict leaves them out."""
    kept = training.model.state_dict().keys()
    return {name: b for name, b in training.model.named_buffers() if name not in kept}


def _optimizer_state(training: TrialTraining, state: _State) -> StateDict:
    """The saved state for the parameters that the optimizer here has, flat or one by one."""
    if state.flat == training.is_flat or training.row is None:
        return state.optimizer
    saved, groups = OptimizerState(**state.optimizer), training.groups
    if state.flat:
        return vars(spread_state(saved, groups, training.row.layout))
    gathered = gather_state(saved, groups, training.row.layout)
    if gathered is None:
        training.spread()
        return state.optimizer
    return vars(gathered)


def _copy(value: PyTree) -> PyTree:
    return value.clone() if isinstance(value, Tensor) else value
