"""Models of a user's: one that runs the same operations in every step, and some that do not."""

import math
import random

import torch
from small import CLASSES, FEATURES
from torch import nn
from torch.nn.functional import gelu, relu

WIDTH = 8
COUNTS = []


class Plain(nn.Module):
    """Every step runs the same operations."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(FEATURES, WIDTH), nn.Linear(WIDTH, CLASSES)

    def forward(self, inputs: torch.Tensor) -> "torch.Tensor":
        hidden = self.first(inputs).view(len(inputs), -1)
        for _ in range(2):
            hidden = self.shifted(hidden) / math.sqrt(WIDTH)
        return self.second(torch.relu(hidden))

    def shifted(self, hidden):
        return relu(hidden) + WIDTH


class Blocks(Plain):
    """Submodules in a list, functions and numbers as attributes, locals that grow."""

    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList([nn.Linear(WIDTH, WIDTH) for _ in range(2)])
        self.scale, self.sizes, self.activation = 0.5, (2, WIDTH // 2), gelu

    @staticmethod
    def halved(hidden):
        return hidden / 2

    def shifted(self, hidden):
        states = []
        for block in self.blocks:
            states.append(self.activation(block(hidden)) if self.training else hidden)
        with torch.autocast("cpu", enabled=False):
            hidden = torch.stack(states).sum(0).view(-1, *self.sizes).flatten(1)
        return self.halved(hidden) * self.scale


class Counts(Plain):
    def forward(self, inputs):
        self.calls = getattr(self, "calls", 0) + 1
        return super().forward(inputs)


class CountsElsewhere(Plain):
    def shifted(self, hidden):
        COUNTS.append(1)
        return hidden


class CountsInside(Plain):
    def __init__(self):
        super().__init__()
        self.seen = [0]

    def shifted(self, hidden):
        self.seen.append(1)
        return hidden * len(self.seen)


class CountsInADefault(Plain):
    def shifted(self, hidden, seen=[]):  # noqa: B006 - that is the point
        seen.append(1)
        return hidden * len(seen)


class CountsInAComprehension(Plain):
    def shifted(self, hidden):
        return sum(hidden * COUNTS.append(1) for _ in range(2))


class DropsPaths(Plain):
    def shifted(self, hidden):
        return hidden if random.random() < 0.5 else 2 * hidden


class DropsPathsInAnObject(Plain):
    class Gate:
        def __call__(self, hidden):
            return hidden if random.random() < 0.5 else 2 * hidden

    def __init__(self):
        super().__init__()
        self.gate = self.Gate()

    def shifted(self, hidden):
        return self.gate(hidden)


class DropsPathsInASubmodule(Plain):
    def __init__(self):
        super().__init__()
        self.inner = DropsPaths()

    def shifted(self, hidden):
        return self.inner.shifted(hidden)


class DropsPathsInAClassMethod(Plain):
    @classmethod
    def dropped(cls, hidden):
        return hidden if random.random() < 0.5 else 2 * hidden

    def shifted(self, hidden):
        return self.dropped(hidden)


class Reads(Plain):
    @property
    def scale(self):
        return random.random()

    def shifted(self, hidden):
        return self.scale * hidden


class ReadsWhatItDoesNotHave(Plain):
    def __getattr__(self, name):
        return random.random() if name == "scale" else super().__getattr__(name)

    def shifted(self, hidden):
        return self.scale * hidden


class Imports(Plain):
    def shifted(self, hidden):
        import random

        return random.random() * hidden


def hooked():
    model = Plain()
    model.first.register_forward_hook(lambda *arguments: None)
    return model


def overridden():
    model = Plain()
    model.second.forward = lambda hidden: hidden
    return model


def unread():
    """A model whose source nobody can read."""
    scope = {}
    text = "def shifted(self, hidden):\n    return hidden\n"
    exec(text, scope)  # that is the point
    return type("Unread", (Plain,), {"shifted": scope["shifted"]})()


CHANGING = [Counts, CountsElsewhere, CountsInside, CountsInADefault, CountsInAComprehension]
CHANGING += [DropsPaths, DropsPathsInAnObject, DropsPathsInASubmodule, DropsPathsInAClassMethod]
CHANGING += [Reads, ReadsWhatItDoesNotHave, Imports, hooked, overridden, unread]
