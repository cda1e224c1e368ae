"""`lrsearch tune`: from options to a study."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrsearch.command.tune_options import TuneOptions
from lrsearch.command.tune_study import tuned
from lrsearch.command.tune_values import values_of
from lrsearch.errors import SpecError

PATTERN = r"val_loss=valid loss +(\S+)"
COMMAND = ("python", "train.py", "--lr", "{lr}", "--seed", "{seed}", "--epochs", "{epochs}")


def options(*command, **given):
    given = {"metrics": (PATTERN,), "lr": "1e-4..1e-1", "epochs": 8, "runs": 20, **given}
    return TuneOptions(command=command or COMMAND, **given)


def test_the_example_of_the_help_is_a_study():
    made = tuned(options())
    name = made.document.pop("name")
    assert re.fullmatch("train-[0-9a-f]{6}", name)
    assert made.document == {
        "command": list(COMMAND),
        "report": {"val_loss": r"valid loss +(\S+)"},
        "objective": {"metric": "val_loss", "direction": "minimize"},
        "epochs": 8,
        "seed": 0,
        "space": {
            "optimizers": {"script": {"lr": {"low": 1e-4, "high": 1e-1, "log": True}}},
            "schedules": {"script": {}},
            "warmup": 0.0,
        },
        "budget": {"runs": 20},
        "confirm": "auto",
    }
    assert made.lines == (
        r"objective: val_loss, minimized by its name (default; --direction says otherwise); read "
        r"from val_loss: valid loss +(\S+)",
        "horizon: 8 epochs, given to the script as {epochs}",
        "search: lr 1e-4..1e-1 (log scale)",
        "budget: 20 runs; if it is enough, the best are trained again with fresh seeds",
    )


def test_each_option_has_its_place_in_the_study():
    command = "train -o {optimizer} -s {schedule} {lr} {weight_decay} {momentum} {width} {act}"
    owners = {"momentum": "sgd", "beta2": "adamw"}
    made = tuned(
        options(
            *command.split(), "{warmup}", "{optimizer.beta2}",
            metrics=(r"acc=acc (\S+)", r"val_loss=loss (\S+)"), optimizer="sgd, adamw",
            schedule="constant,cosine", weight_decay="0,1e-4,1e-2", momentum="0.8..0.99",
            params=("width=16..512", "act=relu,gelu", "optimizer.beta2=0.9..0.999"),
            warmup="0,0.05",
            epochs=None, runs=None, seed=3, name="mine", direction="minimize",
        ),
        takes=lambda optimizer, field: owners.get(field, optimizer) == optimizer,
    )  # fmt: skip
    shared = {
        "lr": {"low": 1e-4, "high": 1e-1, "log": True},
        "weight_decay": {"choices": [0, 1e-4, 1e-2]},
    }
    assert made.document["space"] == {
        "optimizers": {
            "sgd": {**shared, "momentum": {"low": 0.8, "high": 0.99}},
            "adamw": {**shared, "beta2": {"low": 0.9, "high": 0.999}},
        },
        "schedules": {"constant": {}, "cosine": {}},
        "warmup": {"choices": [0, 0.05]},
        "params": {
            "width": {"low": 16, "high": 512, "log": True},
            "act": {"choices": ["relu", "gelu"]},
        },
    }
    assert made.document["objective"] == {"metric": "acc", "direction": "minimize"}
    assert made.document["name"], made.document["seed"] == ("mine", 3)
    assert made.document["confirm"] == "none"
    assert "epochs" not in made.document
    assert made.lines == (
        r"objective: acc, minimized; read from acc: acc (\S+), val_loss: loss (\S+)",
        "horizon: as long as the script runs; its reports are counted, and nothing is pruned before"
        " their number is known (default; --epochs N or --steps N says it)",
        "search: optimizer sgd, adamw, schedule constant,cosine, lr 1e-4..1e-1 (log scale), "
        "weight_decay 0,1e-4,1e-2, momentum 0.8..0.99 (linear), warmup 0,0.05, width 16..512 (log "
        "scale), act relu,gelu, optimizer.beta2 0.9..0.999 (linear)",
        "budget: 20 runs (default; --runs N says otherwise); no confirmation, because the command "
        "has no {seed}",
    )


def test_the_learning_rate_has_a_range_by_default_that_is_said():
    made = tuned(options(lr=None))
    assert made.document["space"]["optimizers"]["script"]["lr"] == {
        "low": 1e-5,
        "high": 1,
        "log": True,
    }
    assert "lr 1e-5..1 (log scale) (default; --lr LOW..HIGH says otherwise)" in made.lines[2]


def test_the_length_may_be_in_steps():
    made = tuned(options("train", "{lr}", "--max_iters={steps}", epochs=None, steps=60))
    assert made.document["steps"] == 60
    assert "epochs" not in made.document
    assert made.lines[1] == "horizon: 60 steps, given to the script as {steps}"
    made = tuned(options("train", "{lr}", epochs=None, steps=60))
    assert made.lines[1] == "horizon: 60 steps, for which the script has to run by itself"


def test_metrics_may_lie_in_a_file():
    made = tuned(
        options(
            *COMMAND,
            "{dir}",
            metrics=("acc=eval/acc", "loss"),
            sources={"csv": "{dir}/m.csv", "json_lines": None},
        )
    )
    assert made.document["report"] == {"csv": "{dir}/m.csv", "acc": "eval/acc"}
    assert made.document["objective"] == {"metric": "acc", "direction": "maximize"}


def test_the_name_stays_for_a_larger_budget_and_changes_with_the_search():
    def name(*command, **given):
        return tuned(options(*command, **given)).document["name"]

    assert name() == name(runs=99)
    assert len({name(), name(lr="1e-4..1"), name(epochs=9), name(seed=1), name(*COMMAND[:-2])}) == 5
    assert name("torchrun", "-m", "pkg.mod", "{lr}").startswith("pkg.mod-")
    assert name("accelerate", "launch", "examples/nlp x.py", "{lr}").startswith("nlp-x-")
    assert name("./fit", "{lr}").startswith("fit-")


@pytest.mark.parametrize(
    ("metric", "direction"),
    [("val_loss", "minimize"), ("ppl", "minimize"), ("RMSE", "minimize"), ("error", "minimize"),
     ("val_acc", "maximize"), ("Accuracy", "maximize"), ("F1", "maximize"), ("bleu", "maximize"),
     ("top1", "maximize")],
)  # fmt: skip
def test_the_direction_follows_from_the_name_of_the_metric(metric, direction):
    made = tuned(options(metrics=(rf"{metric}=x (\S+)",)))
    assert made.document["objective"] == {"metric": metric, "direction": direction}


REFUSED = [
    ({"lr": "1e-1..1e-4"}, "--lr 1e-1..1e-4: the lower end comes first; write 1e-4..1e-1"),
    ({"lr": "0.1..0.1"}, "both ends are the same; write 0.1 alone"),
    ({"lr": "0..0.1"}, "a range on a log scale starts above 0"),
    ({"lr": "1e-4..x"}, "'x' is no number"),
    ({"lr": "1e-4..."}, "write a range as LOW..HIGH"),
    ({"lr": "1e-4...1"}, "write a range as LOW..HIGH"),
    ({"lr": "1e-4-1e-1"}, "numbers are needed; write LOW..HIGH"),
    ({"lr": "0.1,,1"}, "a value is empty"),
    ({"lr": "0.1,1e-1"}, "a value stands there twice"),
    ({"lr": "1e-4..inf"}, "'inf' is no number"),
    ({"lr": ""}, "a value is empty"),
    ({"metrics": ()}, "--metric is missing; write --metric val_loss="),
    ({"metrics": ("val_loss",)}, "a pattern is needed, such as --metric val_loss="),
    ({"metrics": ("val_loss=",)}, "a pattern is needed"),
    ({"metrics": (PATTERN, PATTERN)}, "names that differ are needed"),
    ({"metrics": ("val_loss=loss",)}, "--metric.val_loss = 'loss' has no groups for the metric"),
    ({"metrics": ("speed=s=(.*)",)}, "add --direction minimize or --direction maximize"),
    ({"metrics": ("acc_loss=(.*)",)}, "its name does not tell what is better"),
    ({"sources": {"csv": "{dir}/a"}}, "--metric.csv = '{dir}/a', but the command has no {dir}"),
    ({"sources": {"csv": "a", "json_lines": "b"}}, "one of them is accepted"),
    ({"epochs": None}, "the command has {epochs}; add --epochs N"),
    ({"steps": 9}, "--epochs 8 --steps 9: the length is given twice"),
    ({"epochs": 0}, "--epochs 0: at least 1"),
    ({"runs": -1}, "--runs -1: at least 1"),
    ({"seed": -1}, "--seed -1: 0 or more"),
    ({"weight_decay": "1e-6..1e-2"}, "--weight-decay: the command has no {weight_decay}"),
    ({"schedule": "cosine,step"}, "--schedule: the command has no {schedule}"),
    ({"params": ("width=1,2",)}, "--param width: the command has no {width}"),
    ({"params": ("lr=1,2",)}, "--param lr=1,2: write --lr 1,2"),
    ({"params": ("seed=1,2",)}, "{seed} is the trial's own"),
    ({"params": ("width",)}, "--param width: write NAME=LOW..HIGH"),
    ({"params": ("a=1", "a=2")}, "a stands there twice"),
    ({"optimizer": "sgd", "lr": None}, "--optimizer needs --lr too"),
    ({"optimizer": "sgd,sgd"}, "different names, apart by commas, are needed"),
]  # fmt: skip


@pytest.mark.parametrize(("given", "problem"), REFUSED)
def test_wrong_options_are_refused_in_one_line(given, problem):
    with pytest.raises(SpecError) as error:
        tuned(options(**given))
    assert problem in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("added", "given", "problem"),
    [
        (
            "{momentum}",
            {},
            "the command has {momentum}; add --momentum, such as --momentum 0.8..0.99",
        ),
        ("{optimizer}", {}, "add --optimizer, such as --optimizer sgd,adamw"),
        ("{warmup}", {}, "add --warmup"),
        (
            "{learning_rate}",
            {},
            "the command: {learning_rate} has no value here; did you mean {lr}?",
        ),
        ("{width}", {}, "or add --param width=LOW..HIGH, or --param width=a,b,c"),
        ("{schedule.gamma}", {}, "or add --param schedule.gamma=LOW..HIGH"),
        ("{optimizer.beta1}", {}, "or add --param optimizer.beta1=LOW..HIGH"),
        ("{steps}", {}, "the command has {steps}; add --steps N, which it stands for"),
        ("{lr", {}, "the command after --: '{lr' holds a '{' that is never closed"),
    ],
)
def test_placeholders_without_values_are_refused_in_one_line(added, given, problem):
    with pytest.raises(SpecError) as error:
        tuned(options(*COMMAND, added, **given))
    assert problem in str(error.value)
    assert "\n" not in str(error.value)


def test_something_has_to_be_searched_and_confirmed_with_seeds():
    with pytest.raises(SpecError, match="there is nothing to search"):
        tuned(options("python", "a.py", lr=None))
    with pytest.raises(SpecError, match=r"the command has no \{seed\}"):
        tuned(options("python", "a.py", "{lr}", confirm="auto"))
    with pytest.raises(SpecError, match="momentum is given, but none of --optimizer adamw has it"):
        tuned(
            options("a", "{lr}", "{optimizer}", "{momentum}", optimizer="adamw", momentum="0.9"),
            takes=lambda optimizer, field: field != "momentum",
        )


@given(st.floats(1e-9, 1e9), st.floats(1e-9, 1e9), st.booleans())
def test_a_range_is_read_as_it_was_written(low, high, log):
    text = f"{low!r}..{high!r}"
    if low >= high:
        with pytest.raises(SpecError):
            values_of(text, "--lr", log=log)
        return
    domain = values_of(text, "--lr", log=log).domain
    assert (domain["low"], domain["high"]) == (low, high)
    assert domain.get("log", False) is (log or high / low >= 10)


@given(
    st.lists(st.one_of(st.integers(), st.floats(allow_nan=False, allow_infinity=False)), min_size=1)
)
def test_values_are_read_as_they_were_written(values):
    values = list({repr(value): value for value in values}.values())
    found = values_of(",".join(map(repr, values)), "--param a=")
    expected = values[0] if len(values) == 1 else {"choices": values}
    assert repr(found.domain) == repr(expected)
