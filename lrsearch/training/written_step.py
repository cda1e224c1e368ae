"""A recorded step whose gradients are written where the optimizer reads them, in fewer operations.

What a graph of vmap and autograd computes and nobody needs is left out: transposed products, which
are copied afterwards, sums with a bias beside a product, masks that hide nothing, results in memory
of their own. Every change keeps the bits on the paths of torch that it was written for; whether it
did is for the caller to see.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.fx import Graph, GraphModule, Node
from torch.utils._pytree import tree_leaves

from lrsearch.training.graph_nodes import is_transpose, kind, remove, tensor_meta
from lrsearch.training.known_values import Absent, Folding
from lrsearch.training.max_pooling import max_pool_by_channels

_aten = torch.ops.aten
#: What gives memory of its own, so that the next operation may write there.
_FRESH: set[Callable[..., object]] = {_aten.bmm.default, _aten.baddbmm.default, _aten.mm.default}
_FRESH |= {torch._C._nn.linear, _aten.convolution.default, _aten.div.Tensor}
_FRESH |= {_aten.add.Tensor, _aten.mul.Tensor, _aten.new_zeros.default}
#: Operations of one value each, and what writes over their first argument instead.
_IN_PLACE = {
    _aten.relu.default: _aten.relu_.default,
    _aten.scatter_add.default: _aten.scatter_add_.default,
}
_INTO_FIRST = {
    _aten.threshold_backward.default: _aten.threshold_backward.grad_input,
    _aten.tanh_backward.default: _aten.tanh_backward.grad_input,
    _aten.sigmoid_backward.default: _aten.sigmoid_backward.grad_input,
}
#: Products, and what writes them where they are needed.
_PRODUCTS = {_aten.bmm.default: _aten.bmm.out, _aten.mm.default: _aten.mm.out}
#: The same operations as functions that take less time: those of torch 1 us less to call.
_DIRECT = {
    _aten.add.Tensor: torch.add,
    _aten.addmm.default: torch.addmm,
    _aten.baddbmm.default: torch.baddbmm,
    _aten.bmm.default: torch.bmm,
    _aten.bmm.out: torch.bmm,
    _aten.div.Tensor: torch.div,
    _aten.gather.default: torch.gather,
    _aten.max_pool2d_with_indices.default: max_pool_by_channels,
    _aten.mm.default: torch.mm,
    _aten.mm.out: torch.mm,
    _aten.mul.Tensor: torch.mul,
    _aten.neg.default: torch.neg,
    _aten.relu.default: torch.relu,
    _aten.relu_.default: torch.relu_,
    _aten.squeeze.dims: torch.squeeze,
    _aten.sum.IntList_out: torch.sum,
    _aten.sum.dim_IntList: torch.sum,
    _aten.t.default: torch.t,
    _aten.transpose.int: torch.transpose,
    _aten.unsqueeze.default: torch.unsqueeze,
}


@dataclass(frozen=True, kw_only=True)
class AsRecorded:
    """What is left as it was recorded, because in another form it gave other bits."""

    #: Numbers of gradients that are computed as they were, and copied.
    gradients: frozenset[int] = frozenset()
    #: Whether a bias and a product are added in two steps.
    sums: bool = False


@dataclass(frozen=True, kw_only=True)
class WrittenStep:
    """Losses for (*weights, *buffers, *leaves of the batch, factors, *where gradients go)."""

    run: Callable[..., Tensor]
    #: Tensors of the batch and values that none of their samples may have.
    assumed: frozenset[tuple[int, float]]
    #: The share of the time of the model's own step that it does not take, if it was measured.
    saves: float = 0.0

    def holds(self, absent: Absent) -> bool:
        """Whether it may be used with these data."""
        return all(absent(leaf, value) for leaf, value in self.assumed)


def written_step(
    recorded: GraphModule,
    *,
    gradients: int,
    batch: slice,
    ones: Tensor | None,
    absent: Absent,
    as_recorded: AsRecorded = AsRecorded(),
) -> WrittenStep:
    """A recorded step that writes so many gradients.

    `batch`: which of the arguments are leaves of the batch. `ones`: the factors of the losses, if
    they are 1 always. `absent` says which values the data do not have.
    """
    graph = Graph()
    graph.output(graph.graph_copy(recorded.graph, {}))
    module = GraphModule(recorded, graph)
    places = [node for node in graph.nodes if node.op == "placeholder"]
    folding = Folding(graph, {} if ones is None else {places[-1]: ones})
    folding.fold({node: leaf for leaf, node in enumerate(places[batch])}, absent)
    for number, (node, value) in enumerate(folding.needed()):
        module.register_buffer(f"known_{number}", value)
        with graph.inserting_after(places[-1]):
            node.replace_all_uses_with(graph.get_attr(f"known_{number}"))
        remove(graph, node)
    _turn_products(graph, as_recorded.gradients)
    if not as_recorded.sums:
        _join_products(graph)
    _join_layers(graph)
    _write_gradients(graph, gradients, as_recorded.gradients)
    _overwrite(graph)
    for node in graph.nodes:
        node.target = _DIRECT.get(node.target, node.target)
    graph.lint()
    module.recompile()
    return WrittenStep(run=module.forward, assumed=frozenset(folding.assumed))


def _turn_products(graph: Graph, but: Collection[int]) -> None:
    """(X'Y)' becomes Y'X: in the layout in which it is needed."""
    kept = {_results(graph)[1 + number] for number in but}
    for node in list(graph.nodes):
        if not is_transpose(node) or node in kept:
            continue
        source = node.args[0]
        if is_transpose(source):
            node.replace_all_uses_with(source.args[0])
        elif source.target is _aten.bmm.default and len(source.users) == 1:
            left, right = source.args
            if not is_transpose(left):
                continue
            with graph.inserting_before(source):
                turned = graph.call_function(_aten.transpose.int, (right, 1, 2))
                product = graph.call_function(_aten.bmm.default, (turned, left.args[0]))
            rows, columns = tensor_meta(node).shape[1:]
            meta = tensor_meta(node)._replace(stride=(rows * columns, columns, 1))
            product.meta = {**node.meta, "tensor_meta": meta}
            node.replace_all_uses_with(product)
        remove(graph, node)


def _join_products(graph: Graph) -> None:
    """bias + XY becomes one operation."""
    for node in list(graph.nodes):
        if node.target is not _aten.add.Tensor or len(node.args) != 2 or node.kwargs:
            continue
        bias, product = node.args
        if getattr(product, "target", None) is _aten.bmm.default and len(product.users) == 1:
            with graph.inserting_before(node):
                joined = graph.call_function(_aten.baddbmm.default, (bias, *product.args))
            joined.meta = dict(node.meta)
            node.replace_all_uses_with(joined)
            remove(graph, node)


def _join_layers(graph: Graph) -> None:
    """bias + XW' becomes the call of torch.nn.Linear, which is the same operation."""
    for node in list(graph.nodes):
        if node.target is not _aten.addmm.default or len(node.args) != 3 or node.kwargs:
            continue
        bias, inputs, turned = node.args
        if turned.target is _aten.t.default and len(tensor_meta(bias).shape) == 1:
            with graph.inserting_before(node):
                joined = graph.call_function(torch._C._nn.linear, (inputs, turned.args[0], bias))
            joined.meta = dict(node.meta)
            node.replace_all_uses_with(joined)
            remove(graph, node)


def _write_gradients(graph: Graph, count: int, but: Collection[int]) -> None:
    """Let gradients be written into further arguments; the losses alone are given back."""
    losses, *found = _results(graph)
    graph.output_node().args = (losses,)
    last = [node for node in graph.nodes if node.op == "placeholder"][-1]
    for number, node in enumerate(found[:count]):
        with graph.inserting_after(last):
            last = graph.placeholder(f"into_{number}")
        alone = found.count(node) == 1 and node is not losses and number not in but
        _write(graph, node, last, alone=alone)


def _results(graph: Graph) -> list[Node]:
    """Losses, then gradients."""
    return tree_leaves(graph.output_node().args[0])


def _write(graph: Graph, node: Node, into: Node, *, alone: bool) -> None:
    """Let the value of a node be in `into`."""
    summed = node.args[0] if node.target is _aten.view.default else None
    if alone and node.target in _PRODUCTS:
        with graph.inserting_before(node):
            made = graph.call_function(_PRODUCTS[node.target], node.args, {"out": into})
    elif alone and isinstance(summed, Node) and _is_bias_sum(summed, node):
        with graph.inserting_before(node):
            made = graph.call_function(
                _aten.sum.IntList_out, (*summed.args[:2], False), {"out": into}
            )
    else:
        with graph.inserting_after(node):
            graph.call_function(_aten.copy_.default, (into, node))
        return
    node.replace_all_uses_with(made)
    remove(graph, node)


def _is_bias_sum(node: Node, view: Node) -> bool:
    """Whether a view but takes away the dimensions of length 1 that a sum has kept."""
    if node.target is not _aten.sum.dim_IntList or len(node.users) != 1 or node.kwargs:
        return False
    kept = torch.empty(tensor_meta(node).shape, device="meta").squeeze(node.args[1])  # type: ignore[arg-type]
    return len(node.args) == 3 and bool(node.args[2]) and kept.shape == tensor_meta(view).shape


def _overwrite(graph: Graph) -> None:
    """Write over values that nothing else reads."""
    for node in list(graph.nodes):
        if node.target not in {*_IN_PLACE, *_INTO_FIRST}:
            continue
        first = node.args[0]
        if first.target not in _FRESH or len(first.users) != 1:
            continue
        if kind(first) != kind(node) or tensor_meta(first).stride != tensor_meta(node).stride:
            continue
        if node.target in _IN_PLACE:
            node.target = _IN_PLACE[node.target]
        elif node.target in _INTO_FIRST:
            node.target = _INTO_FIRST[node.target]
            node.kwargs = {**node.kwargs, "grad_input": first}
