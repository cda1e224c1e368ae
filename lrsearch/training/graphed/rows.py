"""How a cohort's rows are parted for updates, and the stacked tensors that optimizers keep.

Rows of one rule lie together, and so do the numbers of a row that are one parameter group in every
trial: a part is a rectangle of the flat weights, and each has one update.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby, pairwise

import torch
from torch import Tensor, nn

from lrsearch.plain_data import Fields
from lrsearch.training.flat_weights import FlatWeights
from lrsearch.training.fused.cohort_training import CohortTraining
from lrsearch.training.graphed.coefficients import Hyper, Memory
from lrsearch.training.graphed.updates import Rule, rule_of

#: What an optimizer keeps of one parameter, by torch's names.
State = dict[str, Tensor]


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Which rectangles of the flat weights are updated by which rule."""

    #: Of each place, None where nothing was trained yet.
    rules: tuple[Rule | None, ...]
    #: Where the pieces of a row begin, and where the last one ends.
    bounds: tuple[int, ...]

    @classmethod
    def of(
        cls,
        rules: Sequence[Rule | None],
        trainings: Sequence[CohortTraining],
        before: "Layout | None" = None,
    ) -> "Layout":
        """What parted rows `before` parts them again: so a step serves as long as it can."""
        bounds = {0} if before is None else set(before.bounds)
        for training in trainings:
            bounds |= {run.stop for run in _runs(training)}
        return cls(rules=tuple(rules), bounds=tuple(sorted(bounds)))

    @property
    def pieces(self) -> int:
        return len(self.bounds) - 1

    def parts(self) -> Iterator[tuple[Rule, slice, int, slice]]:
        """Rule, rows, number of the piece, and where that piece lies in a row."""
        first = 0
        for rule, same in groupby(self.rules):
            last = first + len(list(same))
            if rule is not None:
                for number, (start, stop) in enumerate(pairwise(self.bounds)):
                    yield rule, slice(first, last), number, slice(start, stop)
            first = last

    @property
    def is_sorted(self) -> bool:
        """Whether the rows of each rule lie together."""
        found = [rule for rule, _ in groupby(rule for rule in self.rules if rule is not None)]
        return len(found) == len(set(map(id, found)))


def _runs(training: CohortTraining) -> Iterator["Run"]:
    assert training.row is not None
    for number, group in enumerate(training.groups):
        parameters = training.optimizer.param_groups[number]["params"]
        runs = training.row.layout.runs(group.names)
        for parameter, run in zip(parameters, runs, strict=True):
            yield Run(group=number, parameter=parameter, start=run.start, stop=run.stop)


@dataclass(frozen=True, kw_only=True)
class Run:
    """A flat parameter of a trial's optimizer, and where it lies in the row."""

    group: int
    parameter: nn.Parameter
    start: int
    stop: int


class Kept:
    """What optimizers keep of every weight, stacked: as many [K, P] as the widest rule needs."""

    def __init__(self, flat_weights: FlatWeights) -> None:
        self._like = flat_weights.weights
        self.stacks: list[Tensor] = []

    def hold(self, count: int) -> None:
        """Have at least so many stacks; those that are there stay where they are."""
        while len(self.stacks) < count:
            self.stacks.append(torch.zeros_like(self._like))


@dataclass(kw_only=True)
class Member:
    """A trial in a place: its real optimizer, whose state lies in the stacks from now on."""

    training: CohortTraining
    rule: Rule
    #: By parameter group.
    memories: list[Memory] = field(default_factory=list)

    @classmethod
    def of(cls, training: CohortTraining, kept: Kept) -> "Member":
        """Take over what the optimizer keeps, if it keeps something already."""
        member = cls(training=training, rule=rule_of(training.optimizer))
        kept.hold(len(member.rule.kept))
        optimizer = training.optimizer
        for run in _runs(training):
            hyper = Hyper(**optimizer.param_groups[run.group])
            state: State = optimizer.state[run.parameter]
            for name, view in member._views(run, kept):
                old = state.get(name)
                if old is None:
                    view.fill_(member.rule.initial(name, hyper))
                else:
                    state[name] = view.copy_(old)
        for group in optimizer.param_groups:
            member.memories.append(member._memory(optimizer.state[group["params"][0]]))
        return member

    def _memory(self, state: State) -> Memory:
        numbers = {name: float(state[name]) for name in self.rule.numbers if name in state}
        started = state.get("momentum_buffer") is not None
        return Memory(dtype=torch.get_default_dtype(), numbers=numbers, started=started)

    def _views(self, run: Run, kept: Kept) -> Iterator[tuple[str, Tensor]]:
        for name, stack in zip(self.rule.kept, kept.stacks, strict=False):
            yield name, stack[self.training.place, run.start : run.stop]

    def groups_of(self, bounds: Sequence[int]) -> list[int]:
        """The parameter group of each piece of the row."""
        runs = list(_runs(self.training))
        return [
            next(run.group for run in runs if run.start <= start < run.stop)
            for start in bounds[:-1]
        ]

    def record(self, kept: Kept) -> None:
        """Let the optimizer's state say what its own steps would have left there."""
        optimizer, dtype = self.training.optimizer, torch.get_default_dtype()
        for run in _runs(self.training):
            group: Fields = optimizer.param_groups[run.group]
            memory, hyper = self.memories[run.group], Hyper(**group)
            state: State = optimizer.state[run.parameter]
            for name, view in self._views(run, kept):
                if name not in state and self.rule.keeps(name, hyper, started=memory.started):
                    state[name] = view
            numbers = dict(memory.numbers)
            if self.rule.counts:
                numbers["step"] = float(self.training.step)
            for name, number in numbers.items():
                if name not in state:
                    state[name] = torch.zeros((), dtype=dtype)
                state[name].fill_(number)
