"""`init`: every trial of a study starts from the weights in a file, which is part of the study."""

import hashlib

import pytest
import torch
from forked_workers import started_quickly
from small import FEATURES, TRAIN, VALIDATION, make_model, make_task
from tiny_studies import TASKS, tiny_spec
from torch import nn
from torch.nn.functional import cross_entropy

import lrsearch
from lrsearch.errors import LrsearchError, SpecError, TaskError
from lrsearch.export import export
from lrsearch.recipe.recipe import Recipe
from lrsearch.spec.initial_weights import InitialWeights
from lrsearch.spec.study_spec import StudySpec
from lrsearch.task.task import LoadedTask
from lrsearch.training.initial_weights import find_weights, with_weights_of
from lrsearch.training.model import make_model as made

CPU = torch.device("cpu")


@pytest.fixture
def weights(tmp_path):
    torch.manual_seed(7)
    model = make_model()
    torch.save(model.state_dict(), tmp_path / "weights.pt")
    return model.state_dict()


def spec_of(**fields):
    base = {"name": "s", "task": "t.py:task", "epochs": 2, "budget": {"trials": 3}}
    return StudySpec.from_dict({**base, **fields})


def start(folder, task=None, **init):
    """A new model of the task, as each trial makes it."""
    found = find_weights(InitialWeights(file="weights.pt", **init), [folder])
    return made(found.prepare(task or make_task()), CPU)


def test_a_model_starts_from_the_file(weights, tmp_path):
    for name, value in start(tmp_path).state_dict().items():
        assert torch.equal(value, weights[name])


def test_the_random_stream_after_model_is_as_without_weights(weights, tmp_path):
    torch.manual_seed(0)
    made(make_task(), CPU)
    plain = torch.rand(3)
    torch.manual_seed(0)
    start(tmp_path)
    assert torch.equal(torch.rand(3), plain)


def test_trials_do_not_share_the_weights_that_were_read(weights, tmp_path):
    found = find_weights(InitialWeights(file="weights.pt"), [tmp_path])
    task = found.prepare(make_task())
    first, second = task.model(), task.model()
    with torch.no_grad():
        first[0].weight.zero_()
    assert torch.equal(second[0].weight, weights["0.weight"])
    assert torch.equal(task.model()[0].weight, weights["0.weight"])


def test_a_checkpoint_with_a_state_dict_in_it_is_read(weights, tmp_path):
    torch.save({"state_dict": weights, "epoch": 3}, tmp_path / "weights.pt")
    assert torch.equal(start(tmp_path)[0].weight, weights["0.weight"])


def other_head():
    model = make_model()
    model[4] = nn.Linear(8, 5)
    return model


def test_what_does_not_fit_is_told_in_one_line(weights, tmp_path):
    with pytest.raises(TaskError) as error:
        start(tmp_path, make_task(model=other_head))
    assert str(error.value) == (
        "init: weights.pt is not of this model: of another shape: 4.weight (3, 8), the model's "
        "(5, 8), 4.bias (3,), the model's (5,); give another file, or {file: weights.pt, strict: "
        "false} for what fits"
    )
    with pytest.raises(TaskError, match=r"missing: 9\.weight, 9\.bias; unexpected: 0\.weight, "):
        start(tmp_path, make_task(model=lambda: nn.Sequential(*[nn.ReLU()] * 9, nn.Linear(2, 2))))


def test_what_fits_is_taken_where_that_is_asked_for(weights, tmp_path):
    model = start(tmp_path, make_task(model=other_head), strict=False)
    assert torch.equal(model[0].weight, weights["0.weight"])
    assert model[4].weight.shape == (5, 8)
    with pytest.raises(TaskError, match=r"init: weights\.pt has nothing of the model, whose param"):
        start(tmp_path, make_task(model=lambda: nn.Linear(FEATURES, 2)), strict=False)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"no weights", "init: weights.pt cannot be read as weights ("),
        ([1, 2], "init: weights.pt holds list, but a state dict, of names and tensors, is needed"),
        ({"a": 1}, "init: weights.pt holds dict, but a state dict"),
    ],
)
def test_a_file_that_holds_no_weights_is_told(content, message, tmp_path):
    path = tmp_path / "weights.pt"
    path.write_bytes(content) if isinstance(content, bytes) else torch.save(content, path)
    with pytest.raises(TaskError) as error:
        start(tmp_path)
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


# In a study.


def test_a_study_without_it_keeps_its_hash():
    stored = spec_of().to_dict()
    assert stored.pop("init") is None
    assert StudySpec.from_stored(stored).hash() == spec_of().hash()


def test_the_file_is_part_of_the_studys_identity():
    one, other = (spec_of(init={"file": "w.pt", "sha256": digit * 64}) for digit in "ab")
    assert one.hash() != other.hash()
    assert one.obstacles(other)[0].startswith('init.sha256: "aaaa')


@pytest.mark.parametrize(
    ("init", "message"),
    [
        ("/etc/passwd", "a file beside the study file is accepted; a link to another will do"),
        ("../weights.pt", "a file beside the study file is accepted; a link to another will do"),
        (3, "init = 3: a file such as weights.pt, or {file: weights.pt, strict: false} is taken"),
        ({"path": "w.pt"}, "init.path is not a field of init; "),
    ],
)
def test_a_wrong_field_is_refused(init, message):
    with pytest.raises(SpecError) as error:
        spec_of(init=init)
    assert message in str(error.value)


def test_a_worker_takes_the_file_of_the_hash(weights, tmp_path):
    path = tmp_path / "weights.pt"
    good = hashlib.sha256(path.read_bytes()).hexdigest()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "weights.pt").write_bytes(b"others")
    loaded = LoadedTask(reference="t", source=None, target=make_task(), code={})
    spec = spec_of(init={"file": "weights.pt", "sha256": good})
    task = with_weights_of(spec, loaded, [tmp_path / "none", elsewhere, tmp_path]).make()
    assert torch.equal(task.model()[0].weight, weights["0.weight"])
    with pytest.raises(TaskError) as error:
        with_weights_of(spec, loaded, [tmp_path / "none", elsewhere])
    line = str(error.value)
    assert line.startswith(f"init: no file weights.pt with the study's SHA-256 {good[:12]} (")
    assert "none/weights.pt: not there; " in line
    assert hashlib.sha256(b"others").hexdigest()[:12] in line


QUICK = {"epochs": 2, "portfolio": 0, "range_test": "none", "confirm": "none", "trials": 2}


def test_a_study_starts_from_it_goes_on_with_it_and_refuses_another(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(3)
    torch.save(make_model().state_dict(), "weights.pt")
    call = {
        "storage": f"sqlite:///{tmp_path}/study.db",
        "name": "mine",
        "init": "weights.pt",
        **QUICK,
    }
    task = make_task()
    lrsearch.search(task, **call)
    lrsearch.search(task, **{**call, "trials": 3})
    torch.save(make_model().state_dict(), "weights.pt")
    with pytest.raises(LrsearchError, match=r"exists with another spec: init\.sha256: "):
        lrsearch.search(task, **{**call, "trials": 4})


def test_worker_processes_find_it_beside_the_task(tmp_path):
    (tmp_path / "tiny.py").write_bytes((TASKS / "tiny.py").read_bytes())
    module = {}
    exec((TASKS / "tiny.py").read_text(), module)
    torch.save(module["make_model"]().state_dict(), tmp_path / "tiny.pt")
    with started_quickly():
        found = lrsearch.search(
            tiny_spec(init="tiny.pt", budget={"trials": 2}, confirm="none", range_test="none"),
            storage=f"sqlite:///{tmp_path}/study.db",
            task_dir=tmp_path,
            workers=2,
        )
    assert found.counts.failed == 0
    assert found.counts.started == 2


@pytest.mark.parametrize("strict", [True, False])
def test_a_script_starts_from_it_too(weights, tmp_path, monkeypatch, strict):
    monkeypatch.chdir(tmp_path)
    found = find_weights(InitialWeights(file="weights.pt", strict=strict), [tmp_path])
    init = InitialWeights(file="weights.pt", strict=strict, sha256=found.sha256)
    recipe = Recipe.from_dict(
        {"optimizer": {"name": "sgd", "lr": 1e-9}, "epochs": 1, "batch_size": 16}
    )
    origin = {"study": "s", "trial_number": 1, "steps_per_epoch": 6, "value": 1.0}
    rest = {"metric": "val_loss", "versions": {}, "init": init}
    script, module = export(recipe, "torch", **origin, **rest).text, {}
    exec(compile(script, "exported", "exec"), module)
    model, _ = module["train"](make_model, TRAIN, VALIDATION, cross_entropy)
    assert torch.allclose(model[0].weight, weights["0.weight"], atol=1e-6)
    assert init.sha256 in script
    assert init.sha256 in export(recipe, "yaml", **origin, **rest).text
