"""One call for the optimizers of many trials: a real torch optimizer over all their groups."""

from collections.abc import Sequence

import torch

from lrsearch.training.training_run import Slot


class Stepper:
    """Steps flat optimizers of one class as one optimizer with a group for each trial.

    The groups and the state are the trials' own: their schedulers drive them, and they can be saved
    and moved by themselves. What a call costs beside its kernels, about 50 us of Python on a CPU,
    is paid once for all; numbers do not change, as each group is stepped by itself.
    """

    def __init__(self, slots: Sequence[Slot]) -> None:
        """`slots` have flat optimizers of one class, fused or not alike."""
        self.slots, first = slots, slots[0].optimizer
        groups = [group for slot in slots for group in slot.optimizer.param_groups]
        parameters = [p for group in groups for p in group["params"]]
        self.optimizer: torch.optim.Optimizer = type(first)(
            parameters,
            **{key: first.defaults[key] for key in ("lr", "fused") if key in first.defaults},
        )
        self.optimizer.param_groups = groups
        for slot in slots:
            for group in slot.optimizer.param_groups:
                for parameter in group["params"]:
                    self.optimizer.state[parameter] = slot.optimizer.state[parameter]
            # Its own step is not called; the first step of a scheduler would warn of that.
            slot.optimizer._opt_called = True  # type: ignore[attr-defined]

    def step(self) -> None:
        """Step every trial's optimizer, then its scheduler."""
        self.optimizer.step()
        for slot in self.slots:
            slot.conclude_step(stepped=True)


def steppers(slots: Sequence[Slot]) -> list[Stepper]:
    """Those for all flat optimizers among these; each of the others is to be stepped by itself."""
    kinds: dict[object, list[Slot]] = {}
    for slot in slots:
        if slot.is_flat and slot.scaler is None:
            kind = (type(slot.optimizer), slot.optimizer.defaults.get("fused"))
            kinds.setdefault(kind, []).append(slot)
    return [Stepper(alike) for alike in kinds.values()]
