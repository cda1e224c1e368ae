"""What a trial is to train: given, or drawn from the space until no other trial has it."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, auto

from sqlalchemy import Connection

from lrsearch.plain_data import Document, Fields
from lrsearch.recipe.fingerprint import fingerprint
from lrsearch.recipe.recipe import Recipe
from lrsearch.space.search_space import BatchSize
from lrsearch.spec.sample_recipes import RandomTrial
from lrsearch.storage import repeats
from lrsearch.storage.records import TrialRecord
from lrsearch.study.exhaustion import GIVEN, Drawing
from lrsearch.study.optuna import gate
from lrsearch.study.optuna.sampler import WindowedTPESampler, new_trial
from lrsearch.study.optuna.sampler_units import OUTSIDE, Encoding, stored
from lrsearch.study.optuna.seen_trial import SeenTrial

#: So often the sampler is asked before a recipe is picked that no trial has: it learns little from
#: its own favourite once more.
SAMPLER_DRAWS = 10
#: So often a space that cannot be listed is drawn from at random after that. Where one of 20 pairs
#: of optimizer and schedule has a continuous field, all of these repeat in one of 170 cases.
RANDOM_DRAWS = 100
#: One of so many trials learns from this study's own trials alone: those of earlier studies are a
#: prior that is never relied on. On recorded tables a prior from a like task in four of five draws
#: helped, and from an unlike one it misled.
OWN_EVERY = 5
#: Between the seeds of a trial's draws: beyond the tickets of any study.
SEED_STEP = 1_000_003_000


class Linked(Enum):
    """What became of a proposal."""

    DONE = auto()
    LOST = auto()  #: the claim is another worker's
    REPEAT = auto()  #: another trial has the recipe


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """A recipe for a trial, and what Optuna gets of it: nothing if it is given and outside."""

    recipe: Recipe
    encoding: Encoding
    fingerprint: str
    #: Whether it is trained though another trial has it: the user asked for it, or no other was
    #: found.
    may_repeat: bool


@dataclass(frozen=True, kw_only=True)
class Draw:
    """The drawing of one claimed trial."""

    search: Drawing
    row: TrialRecord
    history: Sequence[SeenTrial]
    #: The task's own for given params.
    batch_size: BatchSize

    def proposals(self) -> Iterator[Drawn]:
        """Recipes to try in turn; the last may repeat another trial's.

        Raises SpecError if what the row has is none of this study's.
        """
        given = self.row.recipe
        if given is not None:
            yield self._given(given, may_repeat=True)
            return
        for number in range(SAMPLER_DRAWS):
            yield self._drawn(number)
        for fields in self._untrained():
            yield self._given(fields, may_repeat=False)
        yield self._drawn(SAMPLER_DRAWS, may_repeat=True)

    def _untrained(self) -> Iterator[Fields]:
        """Recipes of the space in random order that no trial has, as far as they can be listed."""
        seed = self.search.spec.seed * 1_000_003 + self.row.ticket
        finite = self.search.finite
        if finite is None:
            for number in range(RANDOM_DRAWS):
                yield self._random(seed + SEED_STEP * number)
            return

        def taken(connection: Connection) -> set[str]:
            return repeats.fingerprints(connection, self.search.study_id)

        left = [finite[key] for key in sorted(finite.keys() - self.search.database.look(taken))]
        random.Random(seed).shuffle(left)
        yield from left

    def _random(self, seed: int) -> Document:
        spec = self.search.spec
        trial = RandomTrial(seed, {})
        fields = spec.space.suggest(trial, self.batch_size, accumulate=spec.accumulate)
        return spec.recipe(fields, batch_size=None).to_dict()

    def _sampler(self, number: int) -> WindowedTPESampler:
        # Seeded by the ticket: a study resumed, or worked on by several, never draws twice the
        # same, and one worker draws the same study again.
        seed = self.search.spec.seed * 1_000_003 + self.row.ticket + SEED_STEP * number
        return gate.sampler(seed=seed % 2**32, windows=self.search.windows)

    def _learned_from(self) -> Sequence[SeenTrial]:
        """The trials that the sampler sees: every fifth draw without those of earlier studies."""
        if self.row.ticket % OWN_EVERY:
            return self.history
        return [trial for trial in self.history if trial.optuna_number >= self.search.known]

    def _drawn(self, number: int, *, may_repeat: bool = False) -> Drawn:
        """What the sampler proposes when it is asked for the `number`th time, from 0."""
        spec = self.search.spec
        trial = new_trial(
            self._learned_from(),
            self._sampler(number),
            direction=spec.objective.direction,
            fixed=None,
        )
        fields = spec.space.suggest(trial, self.batch_size, accumulate=spec.accumulate)
        recipe = spec.recipe(fields, batch_size=self._size(fields))
        encoding = stored(spec.space, recipe.to_dict(), trial.params, trial.distributions)
        return self._of(recipe, encoding, may_repeat=may_repeat)

    def _given(self, recipe: Fields, *, may_repeat: bool) -> Drawn:
        """A recipe that is there already, with the sampler's parameters that would give it."""
        spec = self.search.spec
        given = spec.recipe(recipe, batch_size=None).to_dict()
        size = self._size(given)
        full = spec.recipe(given, batch_size=size)
        fixed = spec.space.params_of(given, size)
        if fixed is None:
            return self._of(full, OUTSIDE, may_repeat=may_repeat)
        trial = new_trial(
            self.history, self._sampler(0), direction=spec.objective.direction, fixed=fixed
        )
        spec.space.suggest(trial, self.batch_size, accumulate=spec.accumulate)
        encoding = stored(spec.space, full.to_dict(), trial.params, trial.distributions)
        return self._of(full, encoding, may_repeat=may_repeat)

    def _size(self, fields: Fields) -> int | None:
        return fields.get("batch_size") or self.batch_size(fields["params"])

    def _of(self, recipe: Recipe, encoding: Encoding, *, may_repeat: bool) -> Drawn:
        own = self.row.kind not in GIVEN or not (self.row.recipe or {}).get("batch_size")
        mark = fingerprint(recipe.to_dict(), own_batch_size=own)
        return Drawn(recipe=recipe, encoding=encoding, fingerprint=mark, may_repeat=may_repeat)
