"""Nodes of a recorded graph: what they give, and which of them may be left out."""

import torch
from torch.fx import Graph, Node
from torch.fx.passes.shape_prop import TensorMetadata

_aten = torch.ops.aten
#: What may be computed once where its arguments never change.
FOLDED = {_aten.sum.dim_IntList, _aten._to_copy.default, _aten.div.Tensor, _aten.neg.default}
FOLDED |= {_aten.unsqueeze.default, _aten.expand.default, _aten.scalar_tensor.default}
#: What may be left out where nothing reads it: it has no effect and draws nothing.
PURE = {_aten.transpose.int, _aten.bmm.default, _aten.add.Tensor, _aten.view.default}
PURE |= {_aten.t.default, _aten.mm.default, _aten.addmm.default}
PURE |= {_aten.ne.Scalar, _aten.where.self, *FOLDED}


def is_transpose(node: Node) -> bool:
    if not isinstance(node, Node):
        return False
    stacked = node.target is _aten.transpose.int and set(node.args[1:]) == {1, 2}
    return node.target is _aten.t.default or (stacked and len(tensor_meta(node).shape) == 3)


def tensor_meta(node: Node) -> TensorMetadata:
    """Shape, type and strides of what a node gives, where it gives one tensor."""
    meta: TensorMetadata = node.meta["tensor_meta"]
    return meta


def kind(node: Node) -> tuple[torch.Size, torch.dtype]:
    meta = tensor_meta(node)
    return meta.shape, meta.dtype


def remove(graph: Graph, node: Node) -> None:
    """Leave out a node that nothing reads, and what only it has read."""
    if node.users or node.op == "placeholder" or node.target not in PURE:
        return
    sources = node.all_input_nodes
    graph.erase_node(node)
    for source in sources:
        remove(graph, source)
