"""The fused engine: K trials of one model trained as one program.

`vmap` over stacked weights and buffers gives every trial's loss and gradient at once; each trial
then steps its own torch optimizer and scheduler on its row of the arena.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack

import torch
from torch import Tensor

from lrsearch.recipe.recipe import Recipe
from lrsearch.spec.study_spec import StudySpec
from lrsearch.training.failures import CohortError
from lrsearch.training.flat_weights import Arena, Layout
from lrsearch.training.fused.feed import Feed
from lrsearch.training.fused.program import Program
from lrsearch.training.fused.stepper import Stepper, steppers
from lrsearch.training.randomness import drew, random_state, set_random_state
from lrsearch.training.solo import make_model
from lrsearch.training.start import plan_of, scored, steps_per_epoch
from lrsearch.training.task_cache import TaskCache
from lrsearch.training.training_run import Slot
from lrsearch.training.validation import Validation, evaluate

#: What trials of one cohort have in common besides the study's own fields.
COMMON = ("params", "batch_size", "accumulate", "precision", "ema", "weights")


class CohortSlot(Slot):
    """A trial in a place of a cohort."""

    engine = "fused"

    def __init__(self, home: "Cohort", place: int, recipe: Recipe) -> None:
        plan = plan_of(home.spec, recipe, home.steps_per_epoch)
        super().__init__(home.task, recipe, plan, home.data[1], home.device)
        self.home, self.place = home, place
        self.restart()

    @property
    def cohort(self) -> int:  # type: ignore[override]
        """How many places the cohort has."""
        return self.home.size

    @torch.no_grad()
    def restart(self) -> None:
        program = self.home.program
        torch.manual_seed(self.recipe.seed)
        model = make_model(self.task, self.device)
        self.begin(model, program.arena.put(self.place, model), flat=True)
        if self.ema is not None:
            for stacked, value in zip(program.averages, self.ema.average, strict=True):
                stacked[self.place].copy_(value)
        self.bind(program)
        self.loss_sum.zero_()

    def bind(self, program: Program) -> None:
        """Let loss and average be those of the slot's place."""
        self.loss_sum = program.loss_sums[self.place]
        if self.ema is not None:
            self.ema.average = [stacked[self.place] for stacked in program.averages]

    def change(self, program: Program, place: int) -> None:
        """Go on in a place of another program, which holds the same numbers."""
        self.place = place
        program.arena.bind(place, self.model)
        self.move(program.arena.row(place))
        self.bind(program)


class Cohort:
    """Places for `size` trials with the params and batch size of `recipe`.

    A trial's numbers depend on its own recipe and, by rounding, on `size`; not on who else is in
    training. A model that draws random numbers (dropout), or data that come from a loader, go in
    lock-step: every trial has the same seed and begins at the same time, so that all draw what each
    would draw alone. Raises TaskError as a trial alone would, CohortError where the model's
    parameters cannot lie in one row.
    """

    name = "fused"

    def __init__(self, spec: StudySpec, cache: TaskCache, recipe: Recipe, size: int) -> None:
        self.spec, self.recipe, self.device, self.size = spec, recipe, cache.device, size
        task, self.data = cache.splits(recipe)
        self.task = scored(task, spec)
        self.steps_per_epoch = steps_per_epoch(self.data[0], recipe.accumulate)
        self.feed = Feed(self.data[0])
        base = make_model(self.task, self.device)
        layout = Layout.of(base)
        if layout is None:
            raise CohortError("the model's parameters are of several types or layouts")
        inputs, _ = self.feed.first(recipe.seed)
        with torch.no_grad():
            draws = drew(lambda: base.train()(inputs), self.device)
        self.lock_step = draws or not self.feed.is_tensors
        self.program = Program(
            self.task,
            base,
            Arena(base, layout, size),
            draws=draws,
            recordings=cache.recordings(recipe),
        )
        self._places: list[CohortSlot | None] = [None] * size
        self._steppers: list[Stepper] | None = None
        #: Who came last, until the next step, and the random state of the others.
        self._newest: tuple[Slot, list[Tensor] | None] | None = None

    # Who is in it.

    @property
    def slots(self) -> list[CohortSlot]:
        """In training now, in the order of their places."""
        return [slot for slot in self._places if slot is not None]

    def _changed(self) -> None:
        """Somebody has come, gone or moved."""
        self.feed.forget()
        self._steppers = None

    def takes(self, recipe: Recipe) -> bool:
        """Whether there is a free place, and its task and batch size are those of the others."""
        same = all(getattr(recipe, name) == getattr(self.recipe, name) for name in COMMON)
        if None not in self._places or not same:
            return False
        if not self.lock_step or not self.slots:
            return True
        return self.slots[0].recipe.seed == recipe.seed

    def may_join(self) -> bool:
        """Whether a place is free and this is the moment: the boundary of an epoch.

        A cohort that goes in lock-step takes trials before its first step only.
        """
        return None in self._places and not any(map(self._moment, self.slots))

    def may_join_later(self) -> bool:
        """Whether anybody can join those who are in it."""
        return not self.lock_step or not any(slot.step for slot in self.slots)

    def _moment(self, slot: Slot) -> int:
        """What all slots have in common."""
        return slot.step if self.lock_step else slot.position

    def admit(self, recipe: Recipe) -> CohortSlot:
        """A trial at step 0 in a free place. Raises TaskError."""
        place = self._places.index(None)
        others = random_state(self.device) if self.slots else None
        try:
            slot = CohortSlot(self, place, recipe)
        except BaseException:
            self._back_to(others)
            raise
        self._places[place] = slot
        self._newest = (slot, others)
        self._changed()
        return slot

    def _back_to(self, state: list[Tensor] | None) -> None:
        """Let those who stay draw what they would have drawn: one who came has set the stream."""
        if state is not None:
            set_random_state(state, self.device)

    def fits(self, slot: Slot) -> bool:
        """Whether it stands at the same position of an epoch as the others.

        Asked after a checkpoint was put into the slot; one that does not fit is to be dropped.
        """
        self._changed()
        return len(set(map(self._moment, self.slots))) == 1

    def drop(self, slot: Slot) -> None:
        """Free its place; the others are untouched to the last bit."""
        self._places = [None if other is slot else other for other in self._places]
        if self._newest is not None and self._newest[0] is slot:
            self._back_to(self._newest[1])
            self._newest = None
        self._steppers = None
        if not self.may_join_later():
            self.shrink()

    def shrink(self) -> None:
        """Nobody will join any more: halve the places while at least half of them are free.

        Never below 2.
        """
        slots, size = self.slots, self.size
        while size > 2 and len(slots) <= (size + 1) // 2:
            size = (size + 1) // 2
        if size == self.size:
            return
        self.program = self.program.taken([slot.place for slot in slots], size)
        self.size, self._places = size, [*slots, *[None] * (size - len(slots))]
        for place, slot in enumerate(slots):
            slot.change(self.program, place)
        self._changed()

    # Training.

    def advance(self, steps: int) -> None:
        """Train every slot by at most so many steps.

        It stops at once where a validation is due, an epoch ends, or a trial has diverged. Raises
        CohortError, and what the task's code raises; then every trial stands at its last whole
        step.
        """
        started, slots, self._newest = time.monotonic(), self.slots, None
        self.program.base.train()
        for _ in range(steps):
            self._step(slots)
            if slots[0].position == 0 or any(slot.is_due or slot.diverged for slot in slots):
                break
        self._charge(slots, started)

    def _charge(self, slots: Sequence[Slot], started: float) -> None:
        share = (time.monotonic() - started) / len(slots)
        for slot in slots:
            slot.seconds += share

    def _step(self, slots: Sequence[CohortSlot]) -> None:
        program = self.program
        batches = self.feed.next(self._places, self.recipe.accumulate)
        losses = program.gradients(batches, self._scales(), slots[0].autocast())
        if any(slot.step == 0 for slot in slots):
            starts = [sum(of_each) for of_each in zip(*map(Tensor.tolist, losses), strict=True)]
            for slot in slots:
                slot.start_loss = starts[slot.place] if slot.step == 0 else slot.start_loss
        self._update(slots)
        if slots[0].ema is not None:
            program.average(slots[0].ema.weight)
        for loss in losses:
            program.loss_sums += loss
        if any(slot.looks() for slot in slots):
            totals = program.loss_sums.tolist()
            for slot in slots:
                if slot.looks():
                    slot.look(totals[slot.place])
        slots[0].beat()

    def _update(self, slots: Sequence[CohortSlot]) -> None:
        """Step every optimizer, those of one class by one call, and every scheduler."""
        if self._steppers is None:
            self._steppers = steppers(slots)
        together = {id(slot) for stepper in self._steppers for slot in stepper.slots}
        for slot in slots:
            if id(slot) in together:
                slot.prepare()
            else:
                slot.update()
        for stepper in self._steppers:
            stepper.step()

    def _scales(self) -> Tensor | None:
        """Of each place's loss, [K]; None where no loss is scaled."""
        if self.slots[0].scaler is None:
            return None
        one = torch.ones((), device=self.device)
        return torch.stack(
            [
                one if slot is None or slot.scaler is None else slot.scaler.scale(one)
                for slot in self._places
            ]
        )

    # Validation.

    def due(self) -> list[Slot]:
        """Whose validation is due now."""
        return [slot for slot in self.slots if slot.is_due]

    def validate(
        self, slots: Sequence[Slot], *, with_ema: Callable[[Slot], bool]
    ) -> list[Validation]:
        """Validate these, averaged weights too where asked; in the order given.

        What raises leaves every trial before its validation.
        """
        started = time.monotonic()
        self.program.base.eval()
        places = [slot.place for slot in slots if isinstance(slot, CohortSlot)]
        with ExitStack() as stack:
            for slot in slots:
                stack.enter_context(slot.averaged())
            scores = evaluate(
                self.task,
                self.data[1],
                lambda inputs: self.program.outputs(inputs, places),
                autocast=slots[0].autocast,
                beat=slots[0].beat,
            )
        self._charge(slots, started)
        # Averages one by one: at a rung there are few, and not the same ones each time.
        averages = [slot.average_scores(with_ema=with_ema(slot)) for slot in slots]
        return [
            slot.conclude(score, average)
            for slot, score, average in zip(slots, scores, averages, strict=True)
        ]
