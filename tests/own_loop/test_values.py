"""Values of a script: written, read without running code, and compared by their bits."""

import collections
import io
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lrsearch.own_loop.values import NotPlainError, decode, digest, encode, refill

CPU = torch.device("cpu")
DTYPES = [torch.float32, torch.float64, torch.bfloat16, torch.int64, torch.bool, torch.complex64]
tensors = st.builds(
    lambda seed, shape, dtype: torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(
        dtype
    ),
    st.integers(0, 99),
    st.lists(st.integers(0, 3), max_size=3),
    st.sampled_from(DTYPES),
)
arrays = st.builds(
    lambda seed, shape, kind: np.random.default_rng(seed).integers(0, 9, shape).astype(kind),
    st.integers(0, 99),
    st.lists(st.integers(0, 3), max_size=3),
    st.sampled_from(["f4", "f8", "i8", "u1", "?", "U3", "M8[s]"]),
)
keys = st.none() | st.booleans() | st.integers() | st.text(max_size=3)
hashable = keys | st.floats() | st.complex_numbers() | st.binary(max_size=3)
leaves = hashable | tensors | arrays | st.floats().map(np.float32) | st.binary().map(bytearray)
plain = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.lists(inner, max_size=3).map(lambda items: collections.deque(items, maxlen=3))
        | st.dictionaries(keys | st.tuples(keys, keys), inner, max_size=3)
        | st.dictionaries(keys, inner, max_size=3).map(collections.OrderedDict)
        | st.dictionaries(keys, inner, max_size=3).map(lambda d: collections.defaultdict(list, d))
        | st.sets(keys, max_size=3)
        | st.frozensets(hashable, max_size=3)
    ),
    max_leaves=6,
)


def through_a_file(value):
    buffer = io.BytesIO()
    torch.save(encode(value), buffer)
    saved = torch.load(io.BytesIO(buffer.getvalue()), weights_only=True)
    return decode(saved, CPU)


def same(a, b):
    """Plainly: equal types, shapes and bits, all the way down."""
    if type(a) is not type(b):
        return False
    if isinstance(a, torch.Tensor):
        return (
            a.dtype == b.dtype
            and a.shape == b.shape
            and a.numpy(force=True).tobytes() == (b.numpy(force=True).tobytes())
            if a.dtype != torch.bfloat16
            else torch.equal(a.view(torch.int16), b.view(torch.int16))
        )
    if isinstance(a, np.ndarray | np.generic):
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple | collections.deque):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, set | frozenset):
        return sorted(map(repr, a)) == sorted(map(repr, b))
    if isinstance(a, float):
        return a == b or (math.isnan(a) and math.isnan(b))
    return a == b or repr(a) == repr(b)


@given(plain)
def test_a_value_comes_back_as_it_was(value):
    back = through_a_file(value)
    assert same(back, value)
    assert digest(encode(back)) == digest(encode(value))
    if isinstance(value, collections.deque):
        assert back.maxlen == value.maxlen
    if isinstance(value, collections.defaultdict):
        assert back.default_factory is list


@given(plain, plain)
def test_other_values_have_another_digest(one, other):
    assert (digest(encode(one)) == digest(encode(other))) == same(one, other)


def test_versions_of_a_modules_state_come_along():
    state = torch.nn.BatchNorm1d(2).state_dict()
    assert through_a_file(state)._metadata == state._metadata
    assert state._metadata[""]["version"] == 2


def test_a_view_takes_no_more_room_than_it_shows():
    buffer = io.BytesIO()
    torch.save(encode(torch.zeros(1_000_000)[:2]), buffer)
    assert len(buffer.getvalue()) < 5_000


def test_trained_tensors_and_devices_come_back():
    leaf = torch.ones(2, requires_grad=True)
    assert through_a_file([leaf])[0].requires_grad
    assert not through_a_file([leaf * 2])[0].requires_grad
    assert through_a_file((torch.float16, torch.device("cuda:1"), torch.Size([2]))) == (
        torch.float16,
        torch.device("cuda:1"),
        torch.Size([2]),
    )


class Own:
    pass


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"best": [1, Own()]}, r"\['best'\]\[1\] is a test_values.Own"),
        (lambda: 0, "it is a builtins.function"),
        (collections.defaultdict(lambda: 0), "a defaultdict that calls a function"),
        (np.array([Own()], dtype=object), "a numpy array of object"),
    ],
)
def test_what_no_state_can_hold_is_named(value, said):
    with pytest.raises(NotPlainError, match=said):
        encode(value)


@pytest.mark.parametrize(
    ("mine", "other"),
    [
        (torch.zeros(2), torch.ones(2)),
        (np.zeros(2), np.ones(2)),
        ([1], [2, 3]),
        ({"a": 1}, {"b": 2}),
        ({1}, {2}),
        (collections.deque([1], maxlen=3), collections.deque([2], maxlen=3)),
        (bytearray(b"a"), bytearray(b"bc")),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_can_be_changed_is_refilled_in_place(mine, other):
    before = id(mine)
    assert refill(mine, other)
    assert same(mine, other)
    assert id(mine) == before


def test_what_cannot_be_refilled_is_not():
    assert not refill(1, 2)
    assert not refill(torch.zeros(2), [1.0])
    with pytest.raises(ValueError, match=r"\[3\] torch.float32, the script \[2\] torch.float32"):
        refill(torch.zeros(2), torch.zeros(3))
