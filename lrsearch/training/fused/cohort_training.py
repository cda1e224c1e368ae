"""A trial in a place of a cohort."""

from lrsearch.recipe.recipe import Recipe
from lrsearch.task.task import Task
from lrsearch.training.data import Data
from lrsearch.training.fused.program import Program
from lrsearch.training.model import make_model
from lrsearch.training.one_model import OneModel
from lrsearch.training.randomness import seed_model
from lrsearch.training.trial_training import TrialTraining
from lrsearch.trial.validations import Plan


class CohortTraining(TrialTraining):
    """A trial whose weights, gradients and losses lie in a place of a cohort's program."""

    engine = "fused"
    #: Its model with the average, once it was evaluated so.
    _averaged: OneModel | None

    def __init__(
        self,
        task: Task,
        recipe: Recipe,
        plan: Plan,
        validation: Data,
        *,
        program: Program,
        place: int,
    ) -> None:
        super().__init__(task, recipe, plan, validation, program.device)
        self.program, self.place = program, place
        self.restart()

    @property
    def cohort(self) -> int:  # type: ignore[override]
        """How many places the cohort has."""
        return self.program.flat_weights.size

    def restart(self) -> None:
        seed_model(self.recipe.seed)
        model = make_model(self.task, self.device)
        self.begin(model, self.program.flat_weights.put(self.place, model), flat=True)
        if self.ema is not None:
            for stacked, value in zip(self.program.averages, self.ema.average, strict=True):
                stacked[self.place].copy_(value)
        self._bind()
        self.loss_sum.zero_()
        self._modules = list(model.modules())
        self._averaged = None

    def evaluated(self, *, averaged: bool) -> OneModel:
        """Its model in evaluation mode, with the weights in training or with their average."""
        # Nothing of a cohort puts it in training mode: that is the base's. The task's code may.
        if any(module.training for module in self._modules):
            self.model.eval()
        if not averaged or self.ema is None:
            return self.one_model
        weights = self.ema.weights()
        if self._averaged is None:
            self._averaged = self.one_model.with_weights(weights)
        self._averaged.weights = weights
        return self._averaged

    def _bind(self) -> None:
        """Let loss and average be those of its place."""
        self.loss_sum = self.program.loss_sums[self.place]
        if self.ema is not None:
            self.ema.average = [stacked[self.place] for stacked in self.program.averages]

    def move_to(self, program: Program, place: int) -> None:
        """Go on in a place of another program, which holds the same numbers."""
        self.program, self.place = program, place
        self._averaged = None
        program.flat_weights.bind(place, self.model)
        self.move(program.flat_weights.row(place))
        self._bind()
