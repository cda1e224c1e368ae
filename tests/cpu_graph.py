"""What a CUDA graph does, on a CPU: the operations of a call are noted once, and repeated."""

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map


class Noted(TorchDispatchMode):
    """Notes every operation below autograd and vmap; `before` is called with each one's writes."""

    def __init__(self, before=lambda written: None):
        super().__init__()
        self.operations, self.before = [], before

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        self.before(list(written(func, args, kwargs)))
        given = func(*args, **kwargs)
        self.operations.append((func, args, kwargs, given))
        return given

    @property
    def names(self):
        return [str(func) for func, *_ in self.operations]


def written(func, args, kwargs):
    """The tensors that an operation writes into."""
    if func is torch.ops.aten.native_batch_norm.default:  # its schema leaves this out
        yield from (statistics for statistics in args[3:5] if statistics is not None)
    for number, argument in enumerate(func._schema.arguments):
        if argument.alias_info is not None and argument.alias_info.is_write:
            given = args[number] if number < len(args) else kwargs.get(argument.name)
            yield from (leaf for leaf in tree_leaves(given) if isinstance(leaf, torch.Tensor))


class CpuGraph:
    """A call's operations over the same memory, without any of its Python.

    The call is made once, when it is noted, and what it has written is put back. Tensors that it
    made are made anew in each repetition; all others are those that it found.
    """

    made = 0

    def __init__(self, call):
        storages, copies = {}, {}

        def keep(tensors):
            for storage in (tensor.untyped_storage() for tensor in tensors):
                if storage.data_ptr() not in copies:
                    storages[storage.data_ptr()] = storage
                    copies[storage.data_ptr()] = storage.clone()

        state = torch.get_rng_state()
        with Noted(before=keep) as noted:
            call()
        torch.set_rng_state(state)
        for place, storage in storages.items():
            storage.copy_(copies[place])
        self.operations = noted.operations
        CpuGraph.made += 1

    def replay(self):
        made = {}

        def current(value):
            return made.get(id(value), value) if isinstance(value, torch.Tensor) else value

        def keep(old, new):
            if isinstance(old, torch.Tensor):
                made[id(old)] = new

        with torch.no_grad():
            for func, args, kwargs, given in self.operations:
                result = func(*tree_map(current, args), **tree_map(current, kwargs))
                tree_map(keep, given, result)
