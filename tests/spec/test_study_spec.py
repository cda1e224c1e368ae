"""StudySpec: a study file as a validated value; what is wrong is said in one line."""

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from lrsearch.catalog.optimizers import OPTIMIZERS
from lrsearch.errors import SpecError
from lrsearch.recipe.recipe import Recipe
from lrsearch.space.parse import parse_space
from lrsearch.space.presets import PRESETS
from lrsearch.spec.parts import (
    Budget,
    Checkpointing,
    Confirm,
    Ema,
    Objective,
    ValidateEvery,
)
from lrsearch.spec.portfolio_field import entries
from lrsearch.spec.pruning import Pruning
from lrsearch.spec.study_spec import StudySpec
from lrsearch.spec.transfer_field import Transfer

STUDIES = sorted((Path(__file__).parents[2] / "studies").glob("*.yaml"))
#: Fields of studies without a task; `test_program.py` has them.
OF_SCRIPTS = {"train", "launch", "arguments", "command", "report", "names", "resume_args", "end"}
MINIMAL = {"name": "tiny", "task": "tiny.py:task", "epochs": 10, "budget": {"trials": 5}}
BASELINE = {"optimizer": {"name": "adamw", "lr": 1e-3}, "schedule": "cosine"}
BATCHES = {"params": {"batch_size": [16, 32]}}
#: A value for every field, none of them the default.
FULL = {
    "name": "full-1.2_b",
    "task": "package.module:task",
    "init": {"file": "weights.pt", "strict": False},
    "steps": 500,
    "budget": {"trials": 5, "epochs": 40.5, "runs": 9, "time": "1h30m"},
    "objective": {"metric": "accuracy", "direction": "maximize"},
    "space": {"optimizers": {"sgd": {"lr": [1e-3, 1e-2, 1e-1]}}, "params": {"width": [8, 16]}},
    "seed": 7,
    "validate_every": {"steps": 50},
    "pruning": {"eta": 2, "rungs": [0.1, 0.5], "min_peers": 4},
    "confirm": {"candidates": 2, "runs": 8},
    "range_test": "none",
    "baseline": BASELINE,
    "enqueue": [{"optimizer": {"name": "sgd", "lr": 0.01, "momentum": 0.9}, "clip_norm": 2.0}],
    "portfolio": 5,
    "warm_start": [
        "old",
        {
            "optuna": "theirs",
            "storage": "sqlite:///theirs.db",
            "map": {"lr": "sgd.lr"},
            "fixed": {"optimizer": "sgd", "schedule": "cosine"},
        },
    ],
    "precision": "bf16",
    "accumulate": 2,
    "devices_per_trial": 2,
    "clip_norm": 1.0,
    "ema": {"epochs": 0.5, "deploy": True},
    "checkpoints": {"to": "/tmp/checkpoints", "every": "2m", "at_most": "1GB"},
    "lease": {"seconds": "20s", "stall": "1h"},
    "max_trial_time": "2h",
    "tolerance": 0.02,
    "on_code_change": "warn",
    "log": {"tensorboard": "runs", "mlflow": "sqlite:///mlflow.db", "wandb": "us/lr"},
    "notes": "the one with\ntwo lines",
    "tags": ["a", "b"],
    "project": "p",
    "transfer": {"to": 64, "horizons": [1, 2, 4], "lrs": 7, "probes": 0, "objective": "last"},
}


def spec_of(**changes):
    content = {**MINIMAL, **changes}
    return StudySpec.from_dict({k: v for k, v in content.items() if v is not ...})


# Loading


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_every_study_of_the_repository_loads(path):
    spec = StudySpec.load(path)
    assert spec.name == path.stem
    file, attribute = spec.task.split(":")
    assert (path.parent / file).is_file()
    assert f"def {attribute}(" in (path.parent / file).read_text()


def test_there_are_studies_in_the_repository():
    assert {path.stem for path in STUDIES} >= {"digits", "diabetes", "fashion_mnist"}


def test_what_a_file_leaves_out_has_its_default():
    spec = spec_of()
    assert spec.objective == Objective(metric="val_loss", direction="minimize")
    assert spec.space == parse_space("default")
    assert spec.seed == 0
    assert spec.validate_every == ValidateEvery(rungs=True)
    assert spec.pruning == Pruning(eta=3, rungs=(0.04, 0.11, 0.33), min_peers=3)
    assert spec.confirm == Confirm(candidates=None, runs=None)
    assert spec.ema == Ema(epochs=1.0, deploy=False)
    assert spec.portfolio == "default"
    assert spec.range_test == "auto"
    assert (spec.precision, spec.clip_norm, spec.baseline, spec.enqueue) == ("fp32", None, None, ())
    assert spec.checkpoints == Checkpointing(to=None, every=60, at_most=20 * 2**30)
    assert spec.on_code_change == "refuse"
    assert (spec.notes, spec.tags, spec.project) == ("", (), "")


def test_every_field_of_a_file_is_read():
    assert FULL.keys() | {"epochs", "ladder"} | OF_SCRIPTS == StudySpec.model_fields.keys()
    spec = StudySpec.from_dict(FULL)
    assert spec.ladder is None
    assert spec.transfer == Transfer(to=64, horizons=(1, 2, 4), lrs=7, probes=0, objective="last")
    assert spec.budget == Budget(trials=5, epochs=40.5, runs=9, time=5400)
    assert spec.objective == Objective(metric="accuracy", direction="maximize")
    assert spec.space == parse_space(FULL["space"])
    assert spec.validate_every == ValidateEvery(steps=50)
    assert spec.pruning == Pruning(eta=2, rungs=(0.1, 0.5), min_peers=4)
    assert spec.confirm == Confirm(candidates=2, runs=8)
    assert spec.ema == Ema(epochs=0.5, deploy=True)
    plain = ("name", "task", "steps", "seed", "baseline", "portfolio", "precision", "clip_norm")
    for key in (*plain, "accumulate", "devices_per_trial", "notes"):
        assert getattr(spec, key) == FULL[key]
    assert spec.range_test == "none"
    assert spec.tags == ("a", "b")
    minimal = StudySpec.from_dict(MINIMAL)
    for key in FULL:
        assert getattr(spec, key) != getattr(minimal, key), key


@pytest.mark.parametrize(
    ("field", "word", "value"),
    [
        ("pruning", "none", None),
        ("confirm", "none", None),
        ("ema", "none", None),
        ("baseline", "none", None),
        ("clip_norm", "none", None),
        ("portfolio", "none", 0),
        ("portfolio", 0, 0),
        ("portfolio", False, 0),
        ("enqueue", "none", ()),
        ("tolerance", "none", 0.0),
        ("max_trial_time", "none", None),
        ("tags", "none", ()),
        ("project", "none", ""),
        ("notes", "none", ""),
        ("range_test", "none", "none"),
        ("pruning", None, None),
        ("confirm", None, None),
        ("range_test", None, "none"),
        ("ema", None, None),
        ("confirm", "auto", Confirm()),
        ("validate_every", "auto", ValidateEvery(rungs=True)),
        ("validate_every", "epoch", ValidateEvery()),
        ("validate_every", {"fraction": 0.1}, ValidateEvery(fraction=0.1)),
        ("objective", "val_loss", Objective(metric="val_loss", direction="minimize")),
        (
            "objective",
            "calibrated_loss",
            Objective(metric="calibrated_loss", direction="minimize", at="best"),
        ),
        ("clip_norm", "1e-1", 0.1),
        ("epochs", "1e1", 10),
        ("seed", "1e3", 1000),
    ],
)
def test_a_field_may_be_a_word(field, word, value):
    assert getattr(spec_of(**{field: word}), field) == value


@pytest.mark.parametrize(
    ("written", "seconds"),
    [("20m", 1200), ("1h30m", 5400), ("1h 30m", 5400), ("45s", 45), ("2h", 7200), (90, 90)],
)
def test_time_is_written_as_people_do(written, seconds):
    assert spec_of(budget={"time": written}).budget.time == seconds


@pytest.mark.parametrize("field", ["name", "notes", "project"])
@pytest.mark.parametrize("text", ["2024", "1e-3", "nan"])
def test_text_that_looks_like_a_number_stays_text(field, text):
    assert getattr(spec_of(**{field: text}), field) == text


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("2024", {"to": "2024"}),
        ("s3://bucket/folder", {"to": "s3://bucket/folder"}),
        (None, {}),
        ({"to": "1e-3"}, {"to": "1e-3"}),
        ({"every": "10m"}, {"every": 600}),
        ({"every": 5, "at_most": "2e9"}, {"every": 5, "at_most": 2 * 10**9}),
        ({"at_most": "20GB"}, {"at_most": 20 * 10**9}),
        ({"at_most": "1.5 TiB"}, {"at_most": 3 * 2**39}),
        ({"at_most": "500mb"}, {"at_most": 500 * 10**6}),
        ({"at_most": 10**6}, {"at_most": 10**6}),
    ],
)
def test_checkpoints_are_a_place_or_a_mapping(written, meant):
    spec = spec_of(checkpoints=written)
    assert spec.checkpoints == Checkpointing(**meant)
    assert StudySpec.from_stored(json.loads(json.dumps(spec.to_dict()))) == spec


def test_tags_that_look_like_numbers_stay_text():
    assert spec_of(tags=["2024", "1e-3"]).tags == ("2024", "1e-3")


@pytest.mark.parametrize(("field", "value"), [("warm_start", "none"), ("accumulate", "none")])
def test_none_is_what_a_field_is_without(field, value):
    assert spec_of(**{field: value}) == spec_of(**{field: None}) == spec_of()


def test_a_spec_cannot_be_changed():
    with pytest.raises(Exception, match="frozen"):
        spec_of().epochs = 3


# Errors


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        # missing and unknown fields
        ({"name": ...}, "name is missing"),
        ({"task": ...}, "give one of task, train and command; none of them is given"),
        ({"budget": ...}, "budget is missing"),
        (
            {"task": ..., "taks": "a.py:t"},
            "taks is not a field of a study file; did you mean 'task'?",
        ),
        (
            {"xyz": 1},
            "xyz is not a field of a study file; accepted: accumulate, arguments, baseline, budget",
        ),
        (
            {3: 4},
            "3 is not a field of a study file; accepted: accumulate, arguments, baseline, budget",
        ),
        ({"budget": {"trial": 3}}, "budget.trial is not a field of budget; did you mean 'trials'?"),
        (
            {"pruning": {"rugs": []}},
            "pruning.rugs is not a field of pruning; did you mean 'rungs'?",
        ),
        ({"ema": {"decay": 1}}, "ema.decay is not a field of ema; accepted: deploy, epochs"),
        (
            {"validate_every": {"step": 1}},
            "validate_every.step is not a field of validate_every; did you mean 'steps'?",
        ),
        (
            {"objective": {"metrik": "a", "direction": "maximize"}},
            "objective.metrik is not a field of objective; did you mean 'metric'?",
        ),
        # values
        ({"name": "a b"}, "name = 'a b': letters, digits, '.', '_' and '-' are accepted"),
        ({"name": ""}, "name = '': a text that is not empty is accepted"),
        ({"name": "../x"}, "name = '../x': letters, digits, '.', '_' and '-' are accepted"),
        ({"name": 2024}, "name = 2024: a text is accepted"),
        ({"task": 3}, "task = 3: a text is accepted"),
        ({"epochs": 0}, "epochs = 0: at least 1 is accepted"),
        ({"epochs": 2.5}, "epochs = 2.5: a whole number is accepted"),
        ({"epochs": "ten"}, "epochs = 'ten': a whole number is accepted"),
        ({"epochs": ...}, "give the horizon once: epochs or steps"),
        ({"steps": 100}, "give the horizon once: epochs or steps"),
        ({"epochs": ..., "steps": 0}, "steps = 0: at least 1 is accepted"),
        ({"budget": {}}, "budget = {}: give trials, runs, epochs or time"),
        ({"budget": 60}, "budget = 60: a mapping is accepted: {runs: 60}"),
        (
            {"budget": {"trials": 0}},
            "budget.trials = 0: at least 1 is accepted",
        ),
        (
            {"budget": {"epochs": 0}},
            "budget.epochs = 0: a number above 0 is accepted",
        ),
        (
            {"budget": {"runs": 0}},
            "budget.runs = 0: at least 1 is accepted",
        ),
        (
            {"budget": {"total_epochs": 9, "epochs": 9}},
            "budget.total_epochs and budget.epochs are the same field; leave budget.total_epochs",
        ),
        ({"pruning": False}, "pruning = False; write none to turn it off"),
        ({"enqueue": False}, "enqueue = False; write none to turn it off"),
        (
            {"checkpoints": "none"},
            "checkpoints = 'none', but they cannot be turned off; write {every: 24h}",
        ),
        (
            {"epochs": ..., "steps": 9, "budget": {"runs": 3}, "space": BATCHES},
            "steps with a searched params.batch_size has no fixed number of epochs, which "
            "budget.runs needs",
        ),
        (
            {"budget": {"time": "20 minutes"}},
            'budget.time = \'20 minutes\': a duration such as "20m", "1h30m" or "45s" is accepted',
        ),
        ({"budget": {"time": ""}}, "budget.time = '': a duration such as"),
        (
            {"objective": "accuracy"},
            "objective = 'accuracy': a metric needs its direction: "
            "{metric: accuracy, direction: maximize}",
        ),
        ({"objective": {"metric": "a"}}, "objective.direction is missing"),
        (
            {"objective": {"metric": "a", "direction": "max"}},
            "objective.direction = 'max': 'minimize' or 'maximize' is accepted",
        ),
        ({"seed": -1}, "seed = -1: at least 0 is accepted"),
        ({"seed": 2**31}, "seed = 2147483648: a number below 2147483648 is accepted"),
        (
            {"validate_every": 5},
            "validate_every = 5: auto, epoch, {steps: n} or {fraction: f} is accepted",
        ),
        (
            {"validate_every": {"steps": 5, "fraction": 0.1}},
            "validate_every = {'steps': 5, 'fraction': 0.1}: give steps or fraction, not both",
        ),
        ({"validate_every": {"steps": 0}}, "validate_every.steps = 0: at least 1"),
        ({"validate_every": {"fraction": 2}}, "validate_every.fraction = 2: at most 1"),
        (
            {"epochs": ..., "steps": 5, "validate_every": {"steps": 6}},
            "validate_every.steps is beyond the horizon",
        ),
        ({"pruning": True}, "pruning = True: a mapping"),
        ({"pruning": {"eta": 1}}, "pruning.eta = 1: a number above 1 is accepted"),
        ({"pruning": {"min_peers": 1}}, "pruning.min_peers = 1: at least 2"),
        (
            {"pruning": {"rungs": [0.5, 0.1]}},
            "pruning.rungs = [0.5, 0.1]: rising fractions between 0 and 1 are accepted",
        ),
        ({"pruning": {"rungs": []}}, "pruning.rungs = []: rising fractions between 0 and 1 are"),
        ({"pruning": {"rungs": [4, 11]}}, "pruning.rungs = [4, 11]: rising fractions between 0"),
        (
            {"confirm": {"candidates": 0}},
            "confirm.candidates = 0: at least 1 is accepted",
        ),
        ({"ema": {"epochs": 0}}, "ema.epochs = 0: a number above 0 is accepted"),
        ({"ema": "yes"}, "ema = 'yes': a mapping"),
        ({"precision": "fp8"}, "precision = 'fp8': 'fp32', 'bf16' or 'fp16' is accepted"),
        (
            {"precision": "fp16", "space": {"optimizers": {"sgd": {"fused": [True, False]}}}},
            "space.optimizers.sgd.fused = true, but not with precision fp16, whose loss scaler",
        ),
        ({"accumulate": 0}, "accumulate = 0: at least 1 is accepted"),
        ({"accumulate": 1.5}, "accumulate = 1.5: a whole number is accepted"),
        ({"clip_norm": 0}, "clip_norm = 0: a number above 0 is accepted"),
        (
            {"on_code_change": "ignore"},
            "on_code_change = 'ignore': 'refuse' or 'warn' is accepted",
        ),
        (
            {"log": "runs"},
            "log = 'runs': {tensorboard: FOLDER, mlflow: URI, wandb: PROJECT} or a part is "
            "accepted, or none",
        ),
        (
            {"log": {"tensorboard": 3}},
            "log.tensorboard = 3: a text is accepted, such as runs; in quotes, '3', it is one",
        ),
        ({"log": {"wandb": ["a"]}}, "log.wandb = ['a']: a text is accepted, such as my-project"),
        ({"lease": True}, "lease = True: a mapping of seconds, stall is accepted"),
        (
            {"log": {"mlflow": "./mlruns"}},
            "log.mlflow = './mlruns': a tracking URI is accepted, such as http://HOST:5000 or "
            "sqlite:///mlflow.db (MLflow keeps no runs in plain folders any more)",
        ),
        (
            {"log": {"mlflow": "http://me:secret@host"}},
            "log.mlflow must not hold a password, it would stand in the database; set "
            "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD",
        ),
        (
            {"log": {"tensorbord": "runs"}},
            "log.tensorbord is not a field of log; did you mean 'tensorboard'?",
        ),
        (
            {"checkpoints": 3},
            "checkpoints = 3: a folder, a URL or {to: ..., every: 60s, at_most: 20GB} is accepted",
        ),
        ({"checkpoints": ""}, "checkpoints.to = '': a text that is not empty is accepted"),
        ({"checkpoints": {"to": 3}}, "checkpoints.to = 3: a text is accepted"),
        ({"checkpoints": {"every": 0}}, "checkpoints.every = 0: a number above 0 is accepted"),
        (
            {"checkpoints": {"every": "often"}},
            "checkpoints.every = 'often': a duration such as",
        ),
        (
            {"checkpoints": {"at_most": "20 boxes"}},
            'checkpoints.at_most = \'20 boxes\': a size such as "20GB", "500MB" or "1.5TB" is',
        ),
        ({"checkpoints": {"keep_step": 0}}, "checkpoints.keep_step = 0: "),
        ({"checkpoints": {"keep_weights": "maybe"}}, "checkpoints.keep_weights = 'maybe': "),
        ({"checkpoints": {"begin_from": ""}}, "checkpoints.begin_from = '': "),
        (
            {"checkpoints": {"folder": "x"}},
            "checkpoints.folder is not a field of checkpoints; accepted: at_most, begin_from, "
            "every, keep_step, keep_weights, to",
        ),
        ({"tags": "abc"}, "tags = 'abc': a list is accepted"),
        ({"tags": ["a", 3]}, "tags[1] = 3: a text is accepted"),
        ({"notes": ["a"]}, "notes = ['a']: a text is accepted"),
        # the space
        ({"space": "defalt"}, "space = 'defalt' is not a preset; did you mean 'default'?"),
        (
            {"space": {"optimizers": {"sgd": {"lr": [1e-4, 1e-1]}}}},
            "space.optimizers.sgd.lr = [0.0001, 0.1] is ambiguous: write {low: 0.0001, high: 0.1}",
        ),
        ({"range_test": "once"}, "range_test = 'once': 'auto' or 'none' is accepted"),
        # recipes
        ({"baseline": 5}, "baseline = 5: a mapping"),
        ({"baseline": {}}, "baseline: optimizer is missing"),
        (
            {"baseline": {"optimizer": {"name": "sdg", "lr": 0.1}}},
            "baseline: optimizer.name = 'sdg' is not an optimizer; did you mean 'sgd'?",
        ),
        (
            {"baseline": {**BASELINE, "warmup": 2}},
            "baseline: warmup = 2: a number below 1 is accepted",
        ),
        (
            {"baseline": {**BASELINE, "epoch": 2}},
            "baseline: epoch is not a field of a recipe; did you mean 'epochs'?",
        ),
        ({"enqueue": BASELINE}, "enqueue = {'optimizer': "),
        (
            {"portfolio": -1},
            "portfolio = -1, but default, none, a number of recipes, or a YAML file of recipes is",
        ),
        ({"portfolio": "off"}, "portfolio = 'off', but "),
        ({"portfolio": [3]}, "portfolio[0] = 3, but a mapping with `optimizer` is needed"),
        ({"portfolio": [{**BASELINE, "epochs": 3}]}, "portfolio[0].epochs is not a field of a"),
        ({"enqueue": [3]}, "enqueue[0] = 3: a mapping"),
        (
            {"enqueue": [BASELINE, {"optimizer": {"name": "sgd"}}]},
            "enqueue[1]: optimizer.lr is missing",
        ),
    ],
    ids=str,
)
def test_a_bad_field_is_refused_in_one_line_with_file_field_value_and_what_is_accepted(
    changes, message, tmp_path
):
    content = {k: v for k, v in {**MINIMAL, **changes}.items() if v is not ...}
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    with pytest.raises(SpecError) as error:
        StudySpec.load(path)
    assert str(error.value).startswith(f"{path}: {message}")
    assert str(error.value).isprintable()


#: Of every kind that YAML has.
WRONG = (3, -1, 1.5, math.nan, True, None, "", "x", [], [1], {}, {"a": 1}, [{"a": 1}])


def spoilt():
    """Studies of which one field, or one field of a field, holds one of WRONG."""
    for field in StudySpec.model_fields:
        for value in WRONG:
            yield {**MINIMAL, field: value}
            whole = FULL.get(field)
            for part in whole if isinstance(whole, dict) else ():
                yield {**MINIMAL, field: {**whole, part: value}}


def refusal(content):
    """What is said of a study that is none; empty of one that is."""
    try:
        StudySpec.from_dict(content)
    except SpecError as error:
        return str(error)
    return ""


def test_no_wrong_value_is_answered_in_the_words_of_pydantic():
    lines = [line for content in spoilt() if (line := refusal(content))]
    theirs = (" should ", "Undefined", "unable to", " valid ")
    assert [line for line in lines if any(words in line for words in theirs)] == []
    assert all(line.isprintable() for line in lines)
    assert len(lines) > 300


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the study file is empty, but a mapping of fields is needed"),
        ("tiny", "the study file is a str, but a mapping of fields is needed"),
        ("name: [", "the study file is not valid YAML: while parsing a flow node"),
        ("a: !!python/name:os.system", "the study file is not valid YAML: could not determine"),
    ],
)
def test_a_file_that_is_no_study_is_refused_in_one_line(text, message, tmp_path):
    (tmp_path / "tiny.yaml").write_text(text)
    with pytest.raises(SpecError) as error:
        StudySpec.load(tmp_path / "tiny.yaml")
    assert str(error.value).startswith(f"{tmp_path / 'tiny.yaml'}: {message}")
    assert str(error.value).isprintable()


def test_what_is_no_mapping_is_no_study():
    with pytest.raises(SpecError, match=r"^study = 3, but a mapping of fields is needed$"):
        StudySpec.from_dict(3)


@given(
    st.sampled_from([*StudySpec.model_fields, "x"]),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["none", "1e-3"]),
        lambda inner: (
            st.lists(inner, max_size=2)
            | st.dictionaries(
                st.sampled_from(["trials", "steps", "top", "optimizer", "metric", "params"]), inner
            )
        ),
        max_leaves=4,
    ),
)
def test_whatever_a_field_is_it_is_accepted_or_refused_in_one_line(field, value):
    content = {**MINIMAL, field: value}
    if field == "steps":
        del content["epochs"]
    try:
        spec = StudySpec.from_dict(content, "tiny.yaml")
    except SpecError as refused:
        message = str(refused)
        assert message.startswith("tiny.yaml: ")
        assert message.isprintable()
    else:
        assert StudySpec.from_stored(spec.to_dict()) == spec


# Storage and identity


@pytest.mark.parametrize("content", [MINIMAL, FULL], ids=["minimal", "full"])
def test_a_stored_spec_comes_back_equal(content):
    spec = StudySpec.from_dict(content)
    stored = json.loads(json.dumps(spec.to_dict(), allow_nan=False))
    again = StudySpec.from_stored(stored)
    assert again == spec
    assert again.to_dict() == spec.to_dict()
    assert again.hash() == spec.hash()


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_every_study_of_the_repository_survives_storage(path):
    spec = StudySpec.load(path)
    assert StudySpec.from_stored(json.loads(json.dumps(spec.to_dict()))) == spec


def test_a_stored_spec_keeps_the_preset_it_was_made_with(monkeypatch):
    spec = spec_of()
    stored = spec.to_dict()
    other = replace(PRESETS["default"], optimizers={"adam": {}})
    monkeypatch.setitem(PRESETS, "default", other)
    assert StudySpec.from_stored(stored) == spec
    assert spec_of().differences(spec)


def test_a_study_stored_before_there_was_a_portfolio_goes_on():
    stored = spec_of(portfolio=3).to_dict()
    stored["textbook"] = stored.pop("portfolio")
    old = StudySpec.from_stored(stored)
    assert old.portfolio == 3
    assert spec_of().continuing(old).differences(old) == []
    assert spec_of(portfolio="none").continuing(old).differences(old) == ["portfolio: 0 -> 3"]


def test_a_study_stored_before_there_were_rules_of_pruning_goes_on_as_it_began():
    stored = spec_of(pruning={"rule": "asynchronous"}).to_dict()
    del stored["pruning"]["rule"]
    old = StudySpec.from_stored(stored)
    assert old.pruning.rule == "asynchronous"
    assert old.hash() == spec_of(pruning={"rule": "asynchronous"}).hash()
    for rule, differs in (("auto", False), ("asynchronous", False), ("planned", True)):
        again = spec_of(pruning={"rule": rule}).continuing(old)
        assert bool(again.differences(old)) == differs
    planned = spec_of(pruning={"rule": "planned"})
    assert spec_of(pruning={"rule": "auto"}).continuing(planned) == planned
    off = StudySpec.from_stored(spec_of(pruning="none").to_dict())
    assert off.pruning is None


#: For every field another value, and what the difference says.
CHANGED = {
    "task": "other.py:task",
    "init": "weights.pt",
    "epochs": 11,
    "objective": {"metric": "val_loss", "direction": "maximize"},
    "space": {"optimizers": {"adam": {}}},
    "seed": 1,
    "validate_every": {"steps": 3},
    "pruning": "none",
    "baseline": BASELINE,
    "enqueue": [BASELINE],
    "portfolio": "none",
    "warm_start": ["old"],
    "precision": "bf16",
    "accumulate": 2,
    "devices_per_trial": 2,
    "clip_norm": 1.0,
    "ema": {"epochs": 2.0},
    "name": "other",
    "budget": {"trials": 6, "time": 60},
    "confirm": "none",
    "range_test": "none",
    "notes": "x",
    "tags": ["x"],
    "project": "x",
    "log": {"tensorboard": "runs"},
    "on_code_change": "warn",
    "checkpoints": "x",
    "lease": {"seconds": 10},
    "max_trial_time": "2h",
    "tolerance": 0.02,
    "transfer": {"to": 32},
}


#: What a study may go on with after a change.
MAY_CHANGE = {"name", "budget", "confirm", "notes", "tags", "project", "on_code_change"}
MAY_CHANGE |= {"checkpoints", "lease", "log", "max_trial_time", "tolerance", "transfer"}


@pytest.mark.parametrize("field", CHANGED)
def test_a_change_is_another_study_unless_the_field_may_change(field):
    spec, changed = spec_of(), spec_of(**{field: CHANGED[field]})
    assert spec != changed
    same = field in MAY_CHANGE
    assert (spec.identity() == changed.identity()) is same
    assert (spec.hash() == changed.hash()) is same
    differences = spec.differences(changed)
    assert (differences == []) is same
    assert all(line.startswith(field) for line in differences)


#: What `study extend` may change besides.
EXTENDS = {"space", "baseline", "enqueue", "warm_start", "portfolio", "range_test", "pruning"}


@pytest.mark.parametrize("field", CHANGED)
def test_a_change_is_an_obstacle_unless_it_leaves_trials_what_they_are(field):
    spec, changed = spec_of(), spec_of(**{field: CHANGED[field]})
    assert bool(spec.obstacles(changed)) is (field not in MAY_CHANGE | EXTENDS)


def test_other_rungs_are_an_obstacle_another_eta_is_none():
    spec = spec_of()
    assert spec.obstacles(spec_of(pruning={"eta": 2})) == []
    assert len(spec.obstacles(spec_of(pruning={"rungs": [0.1, 0.5]}))) == 1


def test_every_field_has_a_change():
    assert CHANGED.keys() == StudySpec.model_fields.keys() - {"steps", "ladder"} - OF_SCRIPTS


def test_a_difference_names_the_field_and_both_values():
    lr = {"low": 1e-3, "high": 1.0, "log": True}
    mine = spec_of(space={"optimizers": {"sgd": {"lr": lr}}}, seed=1)
    theirs = spec_of(space={"optimizers": {"sgd": {"lr": {**lr, "high": 2.0}}}}, epochs=20)
    assert mine.differences(theirs) == [
        "epochs: 10 -> 20",
        "seed: 1 -> 0",
        "space.optimizers.sgd.lr.high: 1.0 -> 2.0",
    ]
    [off] = spec_of().differences(spec_of(pruning="none"))
    assert off.startswith('pruning: {"rule": "')
    assert off.endswith("... -> null")


def test_how_a_number_is_written_does_not_matter():
    assert spec_of(clip_norm=1).hash() == spec_of(clip_norm="1e0").hash()
    mine, theirs = (
        spec_of(space={"optimizers": {"sgd": {"lr": {"low": low, "high": high}}}})
        for low, high in ((0.5, 1), ("5e-1", 1.0))
    )
    assert mine == theirs
    assert mine.differences(theirs) == []
    assert mine.hash() == theirs.hash()


# Budgets in runs, and names of earlier versions


def test_a_run_is_one_full_training():
    assert spec_of(budget={"runs": 20}).budget.most_epochs(10) == 200
    assert spec_of(budget={"runs": 20, "epochs": 150}).budget.most_epochs(10) == 150
    assert spec_of(budget={"runs": 20, "epochs": 250}).budget.most_epochs(10) == 200
    assert spec_of(budget={"trials": 20, "time": 60}).budget.most_epochs(10) is None


def test_parts_of_a_part_are_off_by_none():
    spec = spec_of(budget={"trials": 5, "runs": "none"}, pruning={"audit": "none"})
    assert spec.budget == Budget(trials=5)
    assert spec.pruning == spec_of(pruning={"audit": 0}).pruning == Pruning(audit=0.0)


OLD = {
    "budget": {"total_epochs": 40},
    "code": "warn",
    "confirm": {"top": 2, "runs": 3},
    "textbook": 2,
}
NEW = {
    "budget": {"epochs": 40},
    "on_code_change": "warn",
    "confirm": {"candidates": 2, "runs": 3},
    "portfolio": 2,
}


def test_earlier_names_of_fields_are_read():
    assert spec_of(**OLD) == spec_of(**NEW)


def test_a_file_with_earlier_names_says_the_new_ones_once(tmp_path, caplog):
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump({**MINIMAL, **OLD}))
    spec = StudySpec.load(path)
    assert [record.getMessage() for record in caplog.records] == [
        f"{path}: budget.total_epochs is now budget.epochs",
        f"{path}: code is now on_code_change",
        f"{path}: confirm.top is now confirm.candidates",
        f"{path}: textbook is now portfolio",
    ]
    caplog.clear()
    StudySpec.from_stored(spec.to_dict())
    path.write_text(yaml.safe_dump({**MINIMAL, **NEW}))
    assert StudySpec.load(path) == spec
    assert not caplog.records


def test_a_study_stored_with_earlier_names_is_the_same_study(caplog):
    spec = spec_of(**NEW)
    stored = spec.to_dict()
    stored["code"] = stored.pop("on_code_change")
    stored["budget"] = {"trials": None, "total_epochs": 40.0, "time": None}
    stored["confirm"] = {"top": 2, "runs": 3}
    again = StudySpec.from_stored(stored)
    assert again == spec
    assert again.hash() == spec.hash()
    assert again.differences(spec) == []
    assert not caplog.records


def test_a_spec_is_made_of_keyword_arguments_as_a_file_writes_them():
    fields = {**FULL, "clip_norm": "1e0", "budget": {"trials": 5, "time": "20m"}, "confirm": "none"}
    assert StudySpec(**fields) == StudySpec.from_dict(fields)


# The recipes of a study


def test_a_study_trains_its_recipes_with_its_own_horizon_precision_ema_and_seed():
    spec = StudySpec.from_dict(FULL)
    recipe = spec.recipe(BASELINE, batch_size=32)
    assert recipe == Recipe.from_dict(
        {
            **BASELINE,
            "steps": 500,
            "batch_size": 32,
            "clip_norm": 1.0,
            "precision": "bf16",
            "accumulate": 2,
            "ema": {"epochs": 0.5},
            "weights": "ema",
            "seed": 7,
            "optimizer": {**BASELINE["optimizer"], "fused": True},
        }
    )
    plain = spec_of(ema="none", precision="fp16").recipe(BASELINE, batch_size=None)
    assert plain == Recipe.from_dict({**BASELINE, "epochs": 10, "precision": "fp16"})


def test_an_optimizer_is_fused_where_torch_can_and_nobody_says_otherwise():
    spec = spec_of(baseline={"optimizer": {"name": "schedulefree.AdamWScheduleFree", "lr": 0.1}})

    def fused(name, spec=spec, **fields):
        recipe = spec.recipe({"optimizer": {"name": name, "lr": 0.1, **fields}}, batch_size=None)
        return recipe.optimizer.get("fused")

    torchs = {name for name in OPTIMIZERS if fused(name)}
    assert torchs == {"sgd", "adam", "adamw", "adagrad"}
    assert fused("sgd", fused=False) is False
    assert fused("schedulefree.AdamWScheduleFree") is None
    assert not any(fused(name, spec_of(precision="fp16")) for name in torchs)


def test_a_study_of_before_a_field_is_the_same_study():
    sgd = {"lr": 0.1, "momentum": 0.9, "nesterov": False, "weight_decay": 0.0}
    space = {"optimizers": {"sgd": sgd}, "schedules": ["constant"], "warmup": 0}
    rule = {"rule": "asynchronous", "samples": "all"}
    spec = spec_of(space=space, validate_every="epoch", portfolio=3, pruning=rule)
    stored = spec.to_dict()
    stored["textbook"] = stored.pop("portfolio")
    del stored["pruning"]["rule"], stored["pruning"]["samples"]
    del stored["accumulate"], stored["objective"]["at"], stored["validate_every"]["rungs"]
    assert StudySpec.from_stored(stored) == spec
    # As the last version, which did not know the field, had it.
    assert spec.hash() == "5dcf189acb3aa6b7b61a43a015e1bb9565866f1e9470e0961ca6485649bb2e6c"


def test_a_file_without_validate_every_leaves_a_stored_study_what_it_has():
    epoch, steps = spec_of(validate_every="epoch"), spec_of(validate_every={"steps": 9})
    assert spec_of().continuing(epoch) == epoch
    assert not epoch.differences(spec_of().continuing(epoch))
    for mine, stored in ((spec_of(), steps), (steps, epoch), (epoch, spec_of())):
        assert mine.continuing(stored) == mine
        assert stored.obstacles(mine.continuing(stored))


def test_given_recipes_are_the_baseline_and_the_enqueued_ones_with_their_places():
    spec = StudySpec.from_dict(FULL)
    assert spec.given_recipes() == [
        ("baseline", FULL["baseline"]),
        ("enqueue[0]", FULL["enqueue"][0]),
    ]
    assert spec_of().given_recipes() == []


def test_a_given_recipe_may_have_its_own_clipping_and_batch_size():
    own = {**BASELINE, "clip_norm": 5.0, "batch_size": 8}
    recipe = spec_of(clip_norm=1.0, baseline=own).recipe(own, batch_size=64)
    assert (recipe.clip_norm, recipe.batch_size) == (5.0, 8)


@pytest.mark.parametrize(
    ("field", "value", "trains_with"),
    [
        ("epochs", 30, "10"),
        ("steps", 500, "None"),
        ("precision", "bf16", "'fp32'"),
        ("accumulate", 4, "1"),
        ("ema", {"epochs": 2.0}, "{'epochs': 1.0}"),
        ("seed", 1, "0"),
    ],
)
@pytest.mark.parametrize("place", ["baseline", "enqueue[0]"])
def test_a_given_recipe_that_contradicts_the_study_is_refused(field, value, trains_with, place):
    own = {**BASELINE, field: value}
    given = {"baseline": own} if place == "baseline" else {"enqueue": [own]}
    with pytest.raises(SpecError) as error:
        spec_of(**given)
    assert str(error.value) == (
        f"study: {place}.{field} = {value!r}, but the study trains with {trains_with}; leave it out"
    )


def test_a_given_recipe_may_repeat_what_the_study_says(tmp_path):
    spec = spec_of(seed=3, ema={"epochs": 2.0})
    spec.recipe(BASELINE, batch_size=16).save(tmp_path / "best.yaml")  # as `export` writes it
    own = yaml.safe_load((tmp_path / "best.yaml").read_text())
    again = spec_of(seed=3, ema={"epochs": 2.0}, baseline=own)
    assert again.recipe(own, batch_size=None) == Recipe.load(tmp_path / "best.yaml")


def test_a_horizon_in_steps_is_a_fraction_of_epochs():
    assert spec_of().horizon_epochs(steps_per_epoch=7) == 10
    assert spec_of(epochs=..., steps=100).horizon_epochs(steps_per_epoch=8) == 12.5


# Objective


def test_an_objective_knows_what_is_better():
    loss = Objective(metric="val_loss", direction="minimize")
    accuracy = Objective(metric="accuracy", direction="maximize")
    assert loss.better(1.0, 2.0)
    assert accuracy.better(2.0, 1.0)
    for objective in (loss, accuracy):
        assert not objective.better(1.0, 1.0)
        assert objective.better(1.0, 2.0) == (objective.loss(1.0) < objective.loss(2.0))


RECIPES = """\
recipes:
  - {optimizer: {name: adamw, lr: 2e-3}, schedule: cosine, warmup: 0.05, source: last year's}
  - {optimizer: {name: sgd, lr: 0.1, momentum: 0.9}, schedule: one_cycle}
"""


def test_a_portfolio_is_a_file_beside_the_study_file(tmp_path):
    (tmp_path / "mine.yaml").write_text(RECIPES)
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump({**MINIMAL, "portfolio": "mine.yaml"}))
    spec = StudySpec.load(path)
    first, second = entries(spec.portfolio)
    assert (first.optimizer, first.warmup) == ({"name": "adamw", "lr": 2e-3}, 0.05)
    assert (first.source, second.source) == ("last year's", f"{tmp_path}/mine.yaml: recipes[1]")
    # The stored study needs no file.
    (tmp_path / "mine.yaml").unlink()
    assert StudySpec.from_stored(json.loads(json.dumps(spec.to_dict()))) == spec


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("recipes: []", "{path}: recipes = [], but a list of recipes is needed"),
        ("recipe: 3", "{path}: recipe is not a field of a portfolio; recipes is the only one"),
        ("- 3", "{path}: the portfolio is a list, but a mapping of fields is needed"),
        ("recipes: [{optimizer: {name: sgd}}]", "{path}: recipes[0]: optimizer.lr is missing"),
    ],
    ids=str,
)
def test_a_file_that_is_no_portfolio_is_refused_in_one_line(tmp_path, text, line):
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(SpecError) as refused:
        spec_of(portfolio=str(tmp_path / "mine.yaml"))
    assert str(refused.value) == "study: " + line.format(path=tmp_path / "mine.yaml")
