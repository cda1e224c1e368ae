"""The fused engine: K trials of one model trained as one program.

`vmap` over stacked weights and buffers gives every trial's loss and gradient at once; each trial
then steps its own torch optimizer and scheduler on its row of the flat weights.
"""

import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from lrsearch.recipe.recipe import Recipe
from lrsearch.spec.study_spec import StudySpec
from lrsearch.training.batch_loss import forward_pass
from lrsearch.training.conclude import conclude
from lrsearch.training.engine import STEPS_PER_LOOK
from lrsearch.training.failures import CohortError
from lrsearch.training.flat_weights import FlatWeights, Layout
from lrsearch.training.fused.batches import CohortBatches
from lrsearch.training.fused.cohort_training import CohortTraining
from lrsearch.training.fused.cohort_validation import Scores, score_cohort
from lrsearch.training.fused.joint_optimizer import JointOptimizer, joint_optimizers
from lrsearch.training.fused.program import Program
from lrsearch.training.model import make_model
from lrsearch.training.randomness import drew, random_state, set_random_state
from lrsearch.training.start import plan_of, scored, steps_per_epoch
from lrsearch.training.task_cache import TaskCache
from lrsearch.training.training import SEARCH, Purpose, Training
from lrsearch.training.trial_training import TrialTraining
from lrsearch.trial.curve import Measurement

#: What trials of one cohort have in common besides the study's own fields.
COMMON = ("params", "batch_size", "accumulate", "precision", "ema", "weights")


class Cohort:
    """Places for `size` trials with the params and batch size of `recipe`.

    A trial's numbers depend on its own recipe and, by rounding, on `size`; not on who else is in
    training. A model that draws random numbers (dropout), or data that come from a loader, go in
    lock-step: every trial has the same seed and begins at the same time, so that all draw what each
    would draw alone. Raises TaskError as a trial alone would, CohortError where the model's
    parameters cannot lie in one row.
    """

    name = "fused"
    steps_per_look = STEPS_PER_LOOK
    #: Whether its step is recorded after some hundred, see `training.recorded_step`.
    records = True

    def __init__(self, spec: StudySpec, cache: TaskCache, recipe: Recipe, size: int) -> None:
        self.spec, self.recipe, self.device, self.size = spec, recipe, cache.device, size
        task, self.data = cache.splits(recipe)
        self.task = scored(task, spec)
        self.steps_per_epoch = steps_per_epoch(self.data[0], recipe.accumulate)
        self.batches = CohortBatches(self.data[0])
        base = make_model(self.task, self.device)
        layout = Layout.of(base)
        if layout is None:
            raise CohortError("the model's parameters are of several types or layouts")
        first = self.batches.first(recipe.seed)
        draws = drew(lambda: forward_pass(self.task, base.train(), first), self.device)
        self.lock_step = draws or not self.batches.is_tensors
        self.program = Program(
            self.task,
            base,
            FlatWeights(base, layout, size),
            draws=draws,
            recordings=cache.recordings(recipe) if self.records else None,
            absent=self.batches.absent,
        )
        self._places: list[CohortTraining | None] = [None] * size
        self._steppers: list[JointOptimizer] | None = None
        #: Trials that step their optimizers by themselves.
        self._alone: list[CohortTraining] = []
        #: Trials that have not made their first step.
        self._begins: list[CohortTraining] = []
        #: The trial that came last, until the next step, and the random state of the others.
        self._newest: tuple[TrialTraining, list[Tensor] | None] | None = None

    # Its trials.

    @property
    def trainings(self) -> list[CohortTraining]:
        """In training now, in the order of their places."""
        return [training for training in self._places if training is not None]

    def _changed(self) -> None:
        """A trial has come, gone or moved."""
        self.batches.forget()
        self._steppers = None

    def takes(self, recipe: Recipe) -> bool:
        """Whether there is a free place, and its task and batch size are those of the others."""
        same = all(getattr(recipe, name) == getattr(self.recipe, name) for name in COMMON)
        if None not in self._places or not same:
            return False
        if not self.lock_step or not self.trainings:
            return True
        return self.trainings[0].recipe.seed == recipe.seed

    def may_join(self) -> bool:
        """Whether a place is free and this is the moment: the boundary of an epoch.

        A cohort that goes in lock-step takes trials before its first step only.
        """
        return None in self._places and not any(map(self._moment, self.trainings))

    def may_join_later(self) -> bool:
        """Whether a trial can still join."""
        return not self.lock_step or not any(training.step for training in self.trainings)

    def _moment(self, training: TrialTraining) -> int:
        """What all places have in common: the step in lock-step, else the position in the epoch."""
        return training.step if self.lock_step else training.position

    def admit(self, recipe: Recipe, purpose: Purpose = SEARCH) -> CohortTraining:
        """A trial at step 0 in a free place. Raises TaskError."""
        place = self._places.index(None)
        others = random_state(self.device) if self.trainings else None
        try:
            plan = plan_of(self.spec, recipe, self.steps_per_epoch, purpose)
            training = CohortTraining(
                self.task, recipe, plan, self.data[1], program=self.program, place=place
            )
        except BaseException:
            self._back_to(others)
            raise
        self._places[place] = training
        self._newest = (training, others)
        self._changed()
        return training

    def _back_to(self, state: list[Tensor] | None) -> None:
        """Restore the random state that a new trial has set, for the trials that stay."""
        if state is not None:
            set_random_state(state, self.device)

    def fits(self, training: Training) -> bool:
        """Whether it stands at the same position of an epoch as the others.

        Asked after a checkpoint was loaded into it; one that does not fit is to be dropped.
        """
        self._changed()
        return len(set(map(self._moment, self.trainings))) == 1

    def drop(self, training: Training) -> None:
        """Free its place; the others are untouched to the last bit."""
        self._places = [None if other is training else other for other in self._places]
        if self._newest is not None and self._newest[0] is training:
            self._back_to(self._newest[1])
            self._newest = None
        self._steppers = None
        if not self.may_join_later():
            self.shrink()

    def shrink(self) -> None:
        """Halve the places while at least half of them are free: no trial will join any more.

        Never below 2.
        """
        trainings, size = self.trainings, self.size
        while size > 2 and len(trainings) <= (size + 1) // 2:
            size = (size + 1) // 2
        if size == self.size:
            return
        self.program = self.program.taken([training.place for training in trainings], size)
        self.size, self._places = size, [*trainings, *[None] * (size - len(trainings))]
        for place, training in enumerate(trainings):
            training.move_to(self.program, place)
        self._changed()

    # Training.

    def advance(self, steps: int) -> None:
        """Train each by at most so many steps.

        It stops at once where a validation is due, an epoch ends, or a trial has diverged. Raises
        CohortError, and what the task's code raises; then every trial stands at its last whole
        step.
        """
        started, trainings, self._newest = time.monotonic(), self.trainings, None
        self.program.base.train()
        self._begins = [training for training in trainings if training.step == 0]
        while steps:
            count = min(steps, *(training.steps_to_look for training in trainings))
            for left in reversed(range(count)):
                self._step(trainings, last=not left)
            self._look(trainings)
            steps -= count
            if trainings[0].position == 0 or any(
                training.is_due or training.diverged for training in trainings
            ):
                break
        self._charge(trainings, started)

    def _charge(self, trainings: Sequence[TrialTraining], started: float) -> None:
        share = (time.monotonic() - started) / len(trainings)
        for training in trainings:
            training.seconds += share

    def _step(self, trainings: Sequence[CohortTraining], *, last: bool) -> None:
        """`last`: whether the steps of some are looked at afterwards."""
        program = self.program
        batches = self.batches.next(self._places, self.recipe.accumulate)
        scales = None if trainings[0].scaler is None else self._scales()
        losses = program.gradients(batches, scales, trainings[0].autocast())
        if self._begins:
            self._note_starts(losses)
        self._update(trainings, last=last)
        if trainings[0].ema is not None:
            program.average(trainings[0].ema.weight)
        for loss in losses:
            program.loss_sums += loss
        trainings[0].beat()

    def _note_starts(self, losses: Sequence[Tensor]) -> None:
        """Keep the losses of those that make their first step."""
        starts = [sum(of_each) for of_each in zip(*map(Tensor.tolist, losses), strict=True)]
        for training in self._begins:
            training.start_loss = starts[training.place]
        self._begins = []

    def _look(self, trainings: Sequence[CohortTraining]) -> None:
        """Notice what has diverged."""
        checked = [training for training in trainings if training.is_check_due()]
        if checked:
            totals = self.program.loss_sums.tolist()
            for training in checked:
                training.check_losses(totals[training.place])

    def _update(self, trainings: Sequence[CohortTraining], *, last: bool) -> None:
        """Step every optimizer, those of one class by one call, and every scheduler."""
        if self._steppers is None:
            self._steppers = joint_optimizers(trainings)
            together = {id(training) for joint in self._steppers for training in joint.trainings}
            self._alone = [training for training in trainings if id(training) not in together]
        for training in self._alone:
            training.update()
        for joint in self._steppers:
            joint.step(last=last)

    def _scales(self) -> Tensor:
        """Of each place's loss, [K]."""
        one = torch.ones((), device=self.device)
        return torch.stack(
            [
                one if training is None or training.scaler is None else training.scaler.scale(one)
                for training in self._places
            ]
        )

    # Validation.

    def due(self) -> list[TrialTraining]:
        """Trials whose validation is due now."""
        return [training for training in self.trainings if training.is_due]

    def validate(
        self, trainings: Sequence[Training], *, with_ema: Callable[[Training], bool]
    ) -> list[Measurement]:
        """Validate these, averaged weights too where asked; in the order given.

        What raises leaves every trial before its validation.
        """
        self.program.base.eval()
        validated, scores = _of_cohort(trainings), dict[int, Scores]()
        for is_partial in (False, True):
            some = [each for each in validated if each.is_partial_next == is_partial]
            found = score_cohort(self.program, some, with_ema=with_ema) if some else []
            scores |= {id(each): scored for each, scored in zip(some, found, strict=True)}
        return [conclude(training, *scores[id(training)]) for training in validated]

    def close(self) -> None:
        """It holds nothing outside of this process."""


def _of_cohort(trainings: Sequence[Training]) -> list[CohortTraining]:
    return [training for training in trainings if isinstance(training, CohortTraining)]
