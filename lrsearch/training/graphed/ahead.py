"""A trial's hyperparameters in the steps to come: its real scheduler is stepped ahead.

So every schedule of torch is here, and every one of a study's own. A plateau schedule changes at
validations alone, which come between two stretches of steps.
"""

import torch
from torch import Tensor
from torch.optim.optimizer import StateDict

from lrsearch.plain_data import Document
from lrsearch.recipe.parameter_groups import recipe_lr
from lrsearch.training.graphed.coefficients import Columns, Hyper
from lrsearch.training.graphed.rows import Member


class Ahead:
    """So many steps of one trial, computed before they are done; they can be taken back."""

    def __init__(self, member: Member, after: int, count: int) -> None:
        """`count` steps, which come `after` so many from where the trial stands."""
        training = member.training
        self.member, self._first = member, training.step + after + 1
        self._scheduler: StateDict = training.scheduler.state_dict()
        self._groups = [_numbers(group) for group in training.optimizer.param_groups]
        self._memories = [memory.copy() for memory in member.memories]
        # The optimizer's own step is not called; the first one of a scheduler would warn of that.
        training.optimizer._opt_called = True  # type: ignore[attr-defined]
        self.columns = self._step(count)

    def _step(self, count: int) -> list[list[Columns]]:
        """Columns by parameter group and step."""
        member, training = self.member, self.member.training
        groups, rule = training.optimizer.param_groups, member.rule
        columns: list[list[Columns]] = [[] for _ in groups]
        for t in range(self._first, self._first + count):
            for group, memory, mine in zip(groups, member.memories, columns, strict=True):
                mine.append(rule.coefficients(Hyper(**group), t, memory))
            #: Of the last step; the one that a validation row says.
            self.lr = recipe_lr(training.optimizer)
            training.scheduler.step()
        return columns

    def cut(self, count: int) -> None:
        """Take back what comes after so many steps."""
        training = self.member.training
        training.scheduler.load_state_dict(self._scheduler)
        for group, numbers in zip(training.optimizer.param_groups, self._groups, strict=True):
            group.update(numbers)
        self.member.memories = [memory.copy() for memory in self._memories]
        self._step(count)

    def table(self, group: int) -> Tensor:
        """[steps, columns], float64, of a parameter group."""
        return torch.tensor(self.columns[group], dtype=torch.float64)


def _numbers(group: Document) -> Document:
    """A parameter group without its parameters."""
    return {key: value for key, value in group.items() if key != "params"}
