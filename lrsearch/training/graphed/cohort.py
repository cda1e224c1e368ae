"""The graphed engine: a cohort whose steps are device work alone, from one epoch to the next.

Trials keep their real optimizers and schedulers, which say what each step is to use, and whose
state lies in the rows that the device works on. Between two epochs, validations or windows the host
looks once: at the sums of the losses.
"""

import time
from collections.abc import Sequence

import torch

from lrsearch.recipe.recipe import Recipe
from lrsearch.spec.study_spec import StudySpec
from lrsearch.training.data import TensorData, epoch_order
from lrsearch.training.engine import epoch_end
from lrsearch.training.failures import CohortError
from lrsearch.training.fused.cohort import Cohort
from lrsearch.training.fused.cohort_training import CohortTraining
from lrsearch.training.fused.program import Program
from lrsearch.training.graphed.ahead import Ahead
from lrsearch.training.graphed.buffers import WINDOW, Fed, Order, not_static
from lrsearch.training.graphed.rows import Kept, Layout, Member
from lrsearch.training.graphed.step import Step
from lrsearch.training.graphed.updates import NAMES, Rule, rule_of
from lrsearch.training.task_cache import TaskCache
from lrsearch.training.trial_training import TrialTraining

#: Steps whose hyperparameters are computed at once: the device works on them meanwhile.
CHUNK = 32


class NotGraphedError(CohortError):
    """The steps of a task, or of a recipe, are more than device work."""


class GraphedCohort(Cohort):
    """See Cohort; trials of optimizers that have a rule for rows.

    A model may draw random numbers: torch's generator of the device goes on from one repetition of
    a captured step to the next. Raises NotGraphedError where batches may differ in shape, and where
    the recipe has no rule.
    """

    #: A look would wait for the device.
    steps_per_look = WINDOW
    #: A capture may not be interrupted by a recording, which compares numbers.
    records = False

    def __init__(self, spec: StudySpec, cache: TaskCache, recipe: Recipe, size: int) -> None:
        super().__init__(spec, cache, recipe, size)
        if reason := not_static(self.data[0], self.batches.first(recipe.seed)):
            raise NotGraphedError(reason)
        if not _has_rule(recipe):
            raise NotGraphedError(f"{recipe.optimizer_name} in {recipe.precision} has no rule")
        self._begin_program()

    def _begin_program(self) -> None:
        """Memory for the program that is there now."""
        self._program: Program = self.program
        self._rules: list[Rule | None] = [None] * self.size
        self._members: dict[int, Member] = {}
        self._kept = Kept(self.program.flat_weights)
        train, accumulate = self.data[0], self.recipe.accumulate
        self._order: Order | Fed = (
            Order(train, self.size, self.steps_per_epoch, accumulate)
            if isinstance(train, TensorData)
            else Fed(train, self.size, self.batches.first(self.recipe.seed), accumulate)
        )
        self._ordered: list[tuple[int, int]] = []
        #: What is repeated with the trials that are there.
        self.step_now: Step | None = None

    def takes(self, recipe: Recipe) -> bool:
        return _has_rule(recipe) and super().takes(recipe)

    def _changed(self) -> None:
        super()._changed()
        self._members = {}

    def shrink(self) -> None:
        super().shrink()
        if self.program is not self._program:
            self._begin_program()

    # Training.

    def advance(self, steps: int) -> None:
        started, trainings, self._newest = time.monotonic(), self.trainings, None
        step = self._prepared(trainings)
        ends = [min(epoch_end(each), each.next_validation) - each.step for each in trainings]
        self.program.base.train()
        step.begin(trainings[0].position)
        self._train(step, trainings, min(steps, WINDOW, *ends))
        self._charge(trainings, started)

    def _train(self, step: Step, trainings: Sequence[CohortTraining], count: int) -> None:
        """So many steps, in chunks: the host computes one while the device works on the last."""
        members = [self._members[id(each)] for each in trainings]
        groups = [member.groups_of(step.layout.bounds) for member in members]
        done, first, ahead = 0, 0, list[Ahead]()
        try:
            for first in range(0, count, CHUNK):
                many, ahead = min(CHUNK, count - first), []
                for member in members:
                    ahead.append(Ahead(member, first, many))
                step.table.write(first, many, zip(ahead, groups, strict=True))
                for _ in range(many):
                    step.order.fill(trainings[0], done)
                    step.repeat()
                    done += 1
                trainings[0].beat()
        except BaseException:
            for each in ahead:
                each.cut(done - first)
            raise
        finally:
            self._conclude(step, members, ahead, done)

    def _conclude(
        self, step: Step, members: Sequence[Member], ahead: Sequence[Ahead], count: int
    ) -> None:
        """Count so many steps, and look at their losses as often as without a window."""
        if not count:
            return
        read = torch.cat([step.sums[:count], step.norms.T.to(step.sums.dtype)]).tolist()
        for member in members:
            training, place = member.training, member.training.place
            _count_losses(training, [sums[place] for sums in read[:count]])
            member.record(self._kept)
            if training.is_due:
                training.grad_norm = read[count][place]
                training.lr = next(each.lr for each in ahead if each.member is member)

    # What a step needs of the trials that are there.

    def _prepared(self, trainings: Sequence[CohortTraining]) -> Step:
        if not self._members:
            self._sort()
            self._members = {id(each): Member.of(each, self._kept) for each in trainings}
        self._write_order()
        before = None if self.step_now is None else self.step_now.layout
        layout = Layout.of(self._rules, trainings, before)
        if self.step_now is None or before != layout:
            self.step_now = self._step_of(layout)
        self.step_now.clip(self._places)
        return self.step_now

    def _sort(self) -> None:
        """Let the rows of each rule lie together."""
        trainings = self.trainings
        for training in trainings:
            self._rules[training.place] = rule_of(training.optimizer)
        if Layout.of(self._rules, ()).is_sorted:
            return
        ordered = sorted(trainings, key=lambda each: rule_of(each.optimizer).name)
        self.program = self.program.taken([each.place for each in ordered], self.size)
        self._places = [*ordered, *[None] * (self.size - len(ordered))]
        for place, training in enumerate(ordered):
            training.move_to(self.program, place)
        self._begin_program()
        for training in ordered:
            self._rules[training.place] = rule_of(training.optimizer)

    def _step_of(self, layout: Layout) -> Step:
        ema = self.trainings[0].ema
        return Step(
            self.program,
            layout,
            self._kept,
            self._order,
            autocast=self.trainings[0].autocast,
            averaging=None if ema is None else ema.weight,
        )

    def _write_order(self) -> None:
        """The order of the samples in the epoch of each place, if it is another than before."""
        if isinstance(self._order, Fed):
            return
        per_epoch, any_training = self.steps_per_epoch, self.trainings[0]
        standing = [training or any_training for training in self._places]
        keys = [(each.recipe.seed, each.step // per_epoch) for each in standing]
        if keys == self._ordered:
            return
        orders = {key: epoch_order(self._order.data.length, *key) for key in dict.fromkeys(keys)}
        self._order.write([orders[key] for key in keys])
        self._ordered = keys


def _has_rule(recipe: Recipe) -> bool:
    """Whether its optimizer has a rule for rows, and its losses need no scale."""
    return recipe.optimizer_name in NAMES and recipe.precision != "fp16"


def _count_losses(training: TrialTraining, sums: Sequence[float]) -> None:
    """Steps with these sums of losses after them; those after a divergence do not count."""
    for total in sums:
        if training.step == 0:
            training.start_loss = total
        training.step += 1
        training.loss_steps += 1
        if training.is_check_due():
            training.check_losses(total)
        if training.diverged is not None:
            return
