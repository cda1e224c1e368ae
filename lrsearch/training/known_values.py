"""What is known of a recorded step before its batches are: it is computed once, or left out."""

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor
from torch.fx import Graph, Node

from lrsearch.training.graph_nodes import FOLDED, kind, remove, tensor_meta

#: Whether no value of a tensor of the batches, counted from 0, is this one in any sample.
Absent = Callable[[int, float], bool]

_aten = torch.ops.aten


class Folding:
    """What is known of a graph before its arguments are."""

    def __init__(self, graph: Graph, known: dict[Node, Tensor]) -> None:
        self.graph, self.known = graph, known
        self.assumed: set[tuple[int, float]] = set()

    def fold(self, leaves: dict[Node, int], absent: Absent) -> None:
        """Compute what is always the same, and leave out masks that are true everywhere."""
        for node in list(self.graph.nodes):
            if node.target is _aten.ne.Scalar and node.args[0] in leaves:
                assumption = (leaves[node.args[0]], node.args[1])
                if absent(*assumption):
                    self.assumed.add(assumption)
                    self.known[node] = torch.ones(tensor_meta(node).shape, dtype=torch.bool)
            elif node.target is _aten.where.self and node.args[0] in self.known:
                self._choose(node)
            elif node.target in FOLDED and all(arg in self.known for arg in node.all_input_nodes):
                self.known[node] = node.target(*self._values(node.args), **node.kwargs)

    def _choose(self, node: Node) -> None:
        mask, chosen = node.all_input_nodes[:2]
        if not self.known[mask].all() or kind(chosen) != kind(node):
            return
        if chosen in self.known:
            self.known[node] = self.known[chosen]
        else:
            node.replace_all_uses_with(chosen)
            remove(self.graph, node)

    def _values(self, args: Sequence[object]) -> list[object]:
        return [self.known[arg] if isinstance(arg, Node) else arg for arg in args]

    def needed(self) -> Iterator[tuple[Node, Tensor]]:
        """Known values that something else reads."""
        for node, value in list(self.known.items()):
            if any(user not in self.known for user in node.users):
                yield node, value
