"""One call for the optimizers of many trials: a real torch optimizer over all their groups."""

from collections.abc import Sequence

import torch

from lrsearch.training.bare_kernels import BareKernels, bare_kernels
from lrsearch.training.denormals import flushed_steps, may_flush
from lrsearch.training.trial_training import TrialTraining


class JointOptimizer:
    """Steps flat optimizers of one class as one optimizer with a group for each trial.

    The groups and the state are the trials' own: their schedulers drive them, and they can be saved
    and moved by themselves. What a call costs beside its kernels, about 50 us of Python on a CPU,
    is paid once for all; numbers do not change, as each group is stepped by itself.
    """

    def __init__(self, trainings: Sequence[TrialTraining]) -> None:
        """`trainings` have flat optimizers of one class, all fused or none, all flushed or none."""
        self.trainings, first = trainings, trainings[0].optimizer
        self._clipped = [one for one in trainings if one.recipe.clip_norm is not None]
        groups = [group for training in trainings for group in training.optimizer.param_groups]
        parameters = [p for group in groups for p in group["params"]]
        self.optimizer: torch.optim.Optimizer = type(first)(
            parameters,
            **{key: first.defaults[key] for key in ("lr", "fused") if key in first.defaults},
        )
        self.optimizer.param_groups = groups
        self._flushed = flushed_steps(self.optimizer)
        self._bare: BareKernels | None = None
        self._stepped = False
        for training in trainings:
            for group in training.optimizer.param_groups:
                for parameter in group["params"]:
                    self.optimizer.state[parameter] = training.optimizer.state[parameter]
            # Its own step is not called; the first step of a scheduler would warn of that.
            training.optimizer._opt_called = True  # type: ignore[attr-defined]

    def step(self, *, last: bool) -> None:
        """Clip gradients where a recipe says so, step every optimizer, then every scheduler.

        `last`: whether a validation may follow.
        """
        for training in self.trainings if last else self._clipped:
            if training.recipe.clip_norm is not None or training.validates_next:
                training.prepare_gradients()
        with self._flushed:
            if self._bare is None or not self._bare.step():
                self.optimizer.step()
                if not self._stepped:  # now every parameter has its state
                    self._bare, self._stepped = bare_kernels(self.optimizer), True
        for training in self.trainings:
            training.conclude_step(stepped=True)


def joint_optimizers(trainings: Sequence[TrialTraining]) -> list[JointOptimizer]:
    """Those for all flat optimizers among these; each of the others is to be stepped by itself."""
    kinds: dict[object, list[TrialTraining]] = {}
    for training in trainings:
        if training.is_flat and training.scaler is None:
            optimizer = training.optimizer
            # A trial's own `eps` decides on its state, not that of who trains beside it.
            kind = (type(optimizer), optimizer.defaults.get("fused"), may_flush(optimizer))
            kinds.setdefault(kind, []).append(training)
    return [JointOptimizer(alike) for alike in kinds.values()]
