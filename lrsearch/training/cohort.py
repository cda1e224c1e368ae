"""The fused engine: K trials of one model trained as one program.

`vmap` over stacked weights and buffers gives every trial's loss and gradient at once; each trial
then steps its own torch optimizer and scheduler on its row of the arena.
"""

import logging
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from lrsearch.recipe import Recipe
from lrsearch.spec import StudySpec
from lrsearch.training.arena import Arena, Layout
from lrsearch.training.feed import Feed
from lrsearch.training.loop import make_model
from lrsearch.training.setup import TaskCache, out_of_memory, plan_of
from lrsearch.training.slot import Slot, wide
from lrsearch.training.stacked import (
    CohortError,
    Part,
    Stacked,
    drew,
    random_state,
    rows_of,
    set_random_state,
)
from lrsearch.training.validation import Scores, Validation, evaluate

log = logging.getLogger("lrsearch")

#: What trials of one cohort have in common besides the study's own fields.
COMMON = ("params", "batch_size", "ema", "precision", "weights")


class CohortSlot(Slot):
    """A trial in a place of a cohort."""

    engine = "fused"

    def __init__(self, home: "Cohort", place: int, recipe: Recipe) -> None:
        plan = plan_of(home.spec, recipe, home.data[0].steps_per_epoch)
        super().__init__(home.task, recipe, plan, home.data[1], home.device)
        self.home, self.place = home, place
        self.restart()

    @property
    def cohort(self) -> int:  # type: ignore[override]
        """How many places the cohort has."""
        return self.home.size

    def restart(self) -> None:
        self.home.settle(self)


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
        self.spec, self.recipe, self.device = spec, recipe, cache.device
        self.task, self.data = cache.splits(recipe)
        self.size = size
        #: What calls stand on; its own numbers are never used.
        self.base = make_model(self.task, self.device)
        layout = Layout.of(self.base)
        if layout is None:
            raise CohortError("the model's parameters are of several types or layouts")
        self.feed = Feed(self.data[0])
        self.draws = self._draws()
        self.lock_step = self.draws or not self.feed.is_tensors
        self.stacked = Stacked(self.task, self.base, draws=self.draws)
        self._places: list[CohortSlot | None] = [None] * size
        self._most_at_once = size
        self._stand_in(Arena(self.base, layout, size))

    def _draws(self) -> bool:
        """Whether the model draws random numbers in training."""
        inputs, _ = self.feed.first(self.recipe.seed)
        self.base.train()
        with torch.no_grad():
            return drew(lambda: self.base(inputs), self.device)

    def _stand_in(self, arena: Arena) -> None:
        """Let this arena be the one that is computed on."""
        self.arena = arena
        self.loss_sums = torch.zeros(arena.size, dtype=wide(self.device), device=self.device)
        floats = [name for name, value in self.base.named_buffers() if value.is_floating_point()]
        #: What is averaged, stacked: weights, then float buffers; and the averages.
        self._live = [arena.weights, *(arena.others[name] for name in floats)]
        self._averages = [torch.zeros_like(value) for value in self._live]
        self._spare = {name: torch.empty_like(value) for name, value in arena.others.items()}
        self._cut()

    def _cut(self) -> None:
        step = self._most_at_once
        starts = range(0, self.arena.size, step)
        self._parts = [Part(self.arena, slice(start, start + step)) for start in starts]

    # Who is in it.

    @property
    def slots(self) -> list[CohortSlot]:
        """In training now, in the order of their places."""
        return [slot for slot in self._places if slot is not None]

    def takes(self, recipe: Recipe) -> bool:
        """Whether there is a free place, and its task and batch size are those of the others."""
        same = all(getattr(recipe, name) == getattr(self.recipe, name) for name in COMMON)
        if None not in self._places or not same:
            return False
        if not self.lock_step or not self.slots:
            return True
        begun = any(slot.step for slot in self.slots)
        return not begun and self.slots[0].recipe.seed == recipe.seed

    def may_join(self) -> bool:
        """Whether a place is free and this is the moment: the boundary of an epoch.

        A cohort that goes in lock-step takes trials before its first step only.
        """
        moment = "step" if self.lock_step else "position"
        return None in self._places and not any(getattr(slot, moment) for slot in self.slots)

    def admit(self, recipe: Recipe) -> CohortSlot:
        """A trial at step 0 in a free place. Raises TaskError."""
        place = self._places.index(None)
        slot = CohortSlot(self, place, recipe)
        self._places[place] = slot
        self.feed.forget()
        return slot

    @torch.no_grad()
    def settle(self, slot: CohortSlot) -> None:
        """Put a new model with the recipe's seed into the slot's place."""
        torch.manual_seed(slot.recipe.seed)
        model = make_model(self.task, self.device)
        slot.begin(model, self.arena.put(slot.place, model), flat=True)
        if slot.ema is not None:
            for stacked, value in zip(self._averages, slot.ema.average, strict=True):
                stacked[slot.place].copy_(value)
        self._bind(slot)
        slot.loss_sum.zero_()

    def _bind(self, slot: CohortSlot) -> None:
        slot.loss_sum = self.loss_sums[slot.place]
        if slot.ema is not None:
            slot.ema.average = [stacked[slot.place] for stacked in self._averages]

    def fits(self, slot: Slot) -> bool:
        """Whether it stands at the same position of an epoch as the others.

        Asked after a checkpoint was put into the slot; one that does not fit is to be dropped.
        """
        moment = "step" if self.lock_step else "position"
        self.feed.forget()
        return len({getattr(other, moment) for other in self.slots}) == 1

    def drop(self, slot: Slot) -> None:
        """Free its place; the others are untouched to the last bit."""
        for place, other in enumerate(self._places):
            if other is slot:
                self._places[place] = None
        if self.lock_step:
            self.shrink()  # nobody can join

    @torch.no_grad()
    def shrink(self) -> None:
        """Nobody will join any more: halve the places while at least half of them are free.

        Never below 2.
        """
        size = self.size
        while size > 2 and len(self.slots) <= (size + 1) // 2:
            size = (size + 1) // 2
        if size == self.size or not self.slots:
            return
        slots = self.slots
        places = [slot.place for slot in slots]
        averages, sums = self._averages, self.loss_sums
        self._stand_in(self.arena.take(places, size))
        self.size, self._places = size, [*slots, *[None] * (size - len(slots))]
        for place, slot in enumerate(slots):
            self.loss_sums[place] = sums[slot.place]
            for new, old in zip(self._averages, averages, strict=True):
                new[place] = old[slot.place]
            slot.place = place
            self.arena.bind(place, slot.model)
            slot.move(self.arena.row(place))
            self._bind(slot)
        self.feed.forget()

    # Training.

    def advance(self, steps: int) -> None:
        """Train every slot by at most so many steps.

        It stops at once where a validation is due, an epoch ends, or a trial has diverged. Raises
        CohortError, and what the task's code raises; then every trial stands at its last whole
        step.
        """
        started = time.monotonic()
        slots = self.slots
        self.base.train()
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
        inputs, targets = self.feed.next(self._places)
        losses = self._gradients(inputs, targets)
        if any(slot.step == 0 for slot in slots):
            for slot, loss in zip(self._places, losses.tolist(), strict=True):
                if slot is not None and slot.step == 0:
                    slot.start_loss = loss
        for slot in slots:
            slot.update()
        average = slots[0].ema
        if average is not None:
            with torch.no_grad():
                torch._foreach_lerp_(self._averages, self._live, average.weight)
        self.loss_sums += losses
        if any(slot.looks() for slot in slots):
            totals = self.loss_sums.tolist()
            for slot in slots:
                if slot.looks():
                    slot.look(totals[slot.place])
        slots[0].beat()

    def _gradients(self, inputs: Any, targets: Any) -> Tensor:
        """Every place's loss, [K]; the gradients are in the arena.

        What raises leaves buffers and random state as they were.
        """
        state = random_state(self.device) if self.draws else None
        for name, kept in self._spare.items():
            kept.copy_(self.arena.others[name])
        while True:
            try:
                return torch.cat([self._part(part, inputs, targets, state) for part in self._parts])
            except Exception as error:
                for name, kept in self._spare.items():
                    self.arena.others[name].copy_(kept)
                if state is not None:
                    set_random_state(state, self.device)
                if not out_of_memory(error):
                    raise
                self._halve(error)

    def _part(self, part: Part, inputs: Any, targets: Any, state: list[Tensor] | None) -> Tensor:
        if state is not None:
            set_random_state(state, self.device)  # each part draws what each trial alone would
        with self.slots[0].autocast():
            return self.stacked.gradients(
                part, rows_of(inputs, part.rows), rows_of(targets, part.rows)
            )

    def _halve(self, error: Exception) -> None:
        """Compute half as many trials at once from now on."""
        if self._most_at_once == 1:
            raise CohortError("out of memory with one trial at a time") from error
        self._most_at_once = (self._most_at_once + 1) // 2
        log.warning("out of memory; %d trials at once from now on", self._most_at_once)
        self._cut()

    # Validation.

    def due(self) -> list[CohortSlot]:
        """Whose validation is due now."""
        return [slot for slot in self.slots if slot.is_due]

    def validate(
        self, slots: Sequence[Slot], *, with_ema: Callable[[Slot], bool]
    ) -> list[Validation]:
        """Validate these, averaged weights too where asked; in the order given."""
        started = time.monotonic()
        with ExitStack() as stack:
            for slot in slots:
                stack.enter_context(slot.averaged())
            scores = self._scores([slot for slot in slots if isinstance(slot, CohortSlot)])
        self._charge(slots, started)
        # The average by itself: at a rung there are few, and not the same ones each time.
        return [
            slot.conclude(score, with_ema=with_ema(slot))
            for slot, score in zip(slots, scores, strict=True)
        ]

    def _scores(self, slots: Sequence[CohortSlot]) -> list[Scores]:
        self.base.eval()
        places = [slot.place for slot in slots]

        def outputs(inputs: Any) -> list[Any]:
            parts = [self.stacked.outputs(part, inputs) for part in self._parts]
            joined = tree_map(lambda *pieces: torch.cat(pieces), *parts)
            return [tree_map(lambda x: x[place], joined) for place in places]  # noqa: B023

        return evaluate(
            self.task, self.data[1], outputs, autocast=slots[0].autocast, beat=slots[0].beat
        )
