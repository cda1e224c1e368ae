"""What is kept by name: given back, put in place, refused with one line."""

import io
import pickle
import random

import numpy as np
import pytest
import torch
from torch import nn

from lrsearch.own_loop.kept import Kept, StateError

CPU = torch.device("cpu")


def kept(**objects):
    made = Kept(CPU)
    for name, value in objects.items():
        made.add(name, value)
    return made


def going_on(data):
    made = Kept(CPU)
    made.load(data)
    return made


def test_random_numbers_of_every_stream_go_on():
    def draw():
        return [torch.rand(2).tolist(), random.random(), np.random.rand(), np.random.normal(),
                random.gauss(0, 1), own.random(), torch.rand(1, generator=private).item(),
                old.normal(), python.gauss(0, 1)]  # fmt: skip

    own, private = np.random.default_rng(1), torch.Generator().manual_seed(2)
    old, python = np.random.RandomState(3), random.Random(4)
    state = kept(own=own, private=private, old=old, python=python)
    draw()  # the second normal number of a pair is left over
    data, digests = state.pack(), state.digests()
    before = draw()
    assert state.digests() != digests
    state.unpack(data)
    assert state.digests() == digests
    assert draw() == before


def test_packing_and_comparing_draw_nothing():
    model, optimizer = nn.Linear(2, 2), None
    optimizer = torch.optim.Adam(model.parameters())
    state = kept(model=model, optimizer=optimizer)
    before = state.digests()
    state.pack()
    assert state.digests() == before


def test_a_value_is_given_back_until_the_run_stands_where_it_was_written():
    first = Kept(CPU)
    assert first.keep("best", 9.0) == 9.0
    assert first.keep("best", 3.0) == 3.0
    second = going_on(first.pack())
    assert second.keep("best", 9.0) == 3.0
    second.restore()
    second.arrive()
    assert second.keep("best", 2.0) == 2.0
    third = going_on(second.pack())
    assert third.keep("best", 9.0) == 2.0


def test_a_tensor_that_stayed_the_same_one_is_filled_in_place_and_others_are_new():
    first = Kept(CPU)
    buffer = first.keep("buffer", torch.zeros(2))
    hidden = first.keep("hidden", torch.zeros(2))
    buffer += 1
    hidden = first.keep("hidden", hidden + 2)
    second = going_on(first.pack())
    mine, zeros = torch.zeros(2), torch.zeros(2)
    assert second.keep("buffer", mine) is mine
    assert mine.tolist() == [1, 1]
    assert second.keep("hidden", zeros).tolist() == [2, 2]
    assert zeros.tolist() == [0, 0]  # it may be a view of something that lives


def test_the_best_weights_that_a_loop_has_copied_leave_the_model_alone():
    def train(state):
        model = nn.Linear(1, 1)
        state.add("model", model)
        best = state.keep("best", model.state_dict())  # a view of the model
        return model, best

    first = Kept(CPU)
    model, _ = train(first)
    first.keep("best", {name: value.clone() for name, value in model.state_dict().items()})
    with torch.no_grad():
        model.weight += 1
    second = going_on(first.pack())
    again, best = train(second)
    second.restore()
    assert torch.equal(again.weight, model.weight)
    assert torch.equal(best["weight"], model.weight - 1)


def test_lists_of_modules_and_of_trained_tensors_keep_their_members():
    w = [torch.zeros(2, requires_grad=True), torch.ones(1, requires_grad=True)]
    nets = [nn.Linear(1, 1), nn.Linear(2, 1)]
    data = kept(w=w, nets=nets).pack()
    w2 = [torch.ones(2, requires_grad=True), torch.zeros(1, requires_grad=True)]
    nets2 = [nn.Linear(1, 1), nn.Linear(2, 1)]
    members = [id(each) for each in (*w2, *nets2)]
    kept(w=w2, nets=nets2).unpack(data)
    assert [id(each) for each in (*w2, *nets2)] == members
    assert [each.tolist() for each in w2] == [[0, 0], [1]]
    assert torch.equal(nets2[1].weight, nets[1].weight)


def test_names_have_one_object():
    with pytest.raises(StateError, match="two objects are named 'model'"):
        kept(model=nn.Linear(1, 1)).add("model", nn.Linear(1, 1))


@pytest.mark.parametrize(
    ("mine", "said"),
    [
        ({}, "the state has 'model', but the script keeps no such thing"),
        ({"model": nn.Linear(3, 1)}, "the state of model does not fit: .*size mismatch"),
        ({"model": 3}, "the state has an object, but the script keeps a int"),
    ],
)
def test_a_state_that_does_not_fit_is_refused_in_one_line(mine, said):
    data = kept(model=nn.Linear(2, 1)).pack()
    with pytest.raises(StateError, match=said) as caught:
        kept(**mine).unpack(data)
    assert "\n" not in str(caught.value)


def test_a_tensor_of_another_shape_is_refused():
    data = kept(buffer=torch.zeros(2)).pack()
    with pytest.raises(StateError, match=r"the state has \[2\] torch.float32, the script \[3\]"):
        kept(buffer=torch.zeros(3)).unpack(data)


class Ends:
    """Unpickling it ends the process."""

    def __reduce__(self):
        return (exec, ("raise SystemExit('code of the file was run')",))


def pickled(value):
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "data",
    [b"", b"nothing", pickle.dumps(Ends()), pickled(Ends()), pickled({"format": 1}), pickled([1])],
    ids=["empty", "text", "pickle", "torch", "cut off", "another thing"],
)
def test_bytes_that_are_no_state_are_refused_and_run_nothing(data):
    with pytest.raises(StateError, match="the state cannot be read") as caught:
        Kept(CPU).load(data)
    assert "\n" not in str(caught.value)


def test_a_state_of_other_facts_is_refused():
    data = Kept(CPU).pack()
    with pytest.raises(StateError, match="the state was made with device cpu there, cuda here"):
        Kept(torch.device("cuda")).load(data)
    torch.set_num_threads(2)
    try:
        with pytest.raises(StateError, match="threads 1 there, 2 here"):
            Kept(CPU).load(data)
    finally:
        torch.set_num_threads(1)


def test_what_no_state_can_hold_is_refused_with_its_place():
    state = Kept(CPU)
    state.keep("found", {"net": [object()]})
    with pytest.raises(StateError, match=r"run.keep\(found=...\): \['net'\]\[0\] is a .*object"):
        state.pack()
    looped = []
    looped.append(looped)
    state = Kept(CPU)
    state.keep("looped", looped)
    with pytest.raises(StateError, match="it holds itself"):
        state.pack()
