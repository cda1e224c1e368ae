"""A model in evaluation mode, by itself or with other weights in place of its own."""

from collections.abc import Callable, Mapping
from copy import copy
from typing import TypeVar

from torch import Tensor, nn
from torch.utils._pytree import PyTree

from lrsearch.training.max_pooling import faster_max_pooling
from lrsearch.training.model import Places

T = TypeVar("T")


class OneModel:
    """A trial's model by itself, with other weights in place of its own if there are any."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model.eval()
        #: What it holds in a call.
        self.weights: Mapping[str, Tensor] = {}
        self._places: Places | None = None
        self._pooling = faster_max_pooling(model)

    def with_weights(self, weights: Mapping[str, Tensor]) -> "OneModel":
        """The same model with these; its own afterwards are those that it has now."""
        other = copy(self)
        other.weights, other._places = weights, Places(self.model, weights)
        return other

    def outputs(self, inputs: PyTree) -> list[PyTree]:
        return self.each(lambda model: model(inputs))

    def each(self, call: Callable[[nn.Module], T]) -> list[T]:
        with self._pooling:
            if self._places is None:
                return [call(self.model)]
            with self._places.holding(self.weights):
                return [call(self.model)]
