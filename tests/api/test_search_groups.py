"""A study with parameter groups, end to end: searched, confirmed, reported, exported, built."""

import json
from dataclasses import replace

import pytest
import torch
from click.testing import CliRunner
from tiny_studies import opened, tiny_task

import lrsearch
from lrsearch.cli.main import cli
from lrsearch.errors import LrsearchError
from lrsearch.study.open_study import OpenStudy

LOG = {"low": 0.05, "high": 1.0, "log": True}
QUICK = {"epochs": 2, "portfolio": 1, "range_test": "none", "confirm": "none"}
#: Schedules that begin at the peak.
FALLING = {"schedules": ["constant", "cosine"], "warmup": 0.0}
ADAMW = {"optimizers": {"adamw": {"lr": {"low": 1e-3, "high": 1e-2, "log": True}}}, **FALLING}
RULES = [{"match": "^3", "lr_scale": 0.5, "weight_decay": 0.0}]


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path}/study.db"


def task_with(groups=None):
    return replace(tiny_task().make({}), groups=groups)


def trials_of(url, name):
    with opened(url) as database:
        return OpenStudy.open(database, name).all_trials()


def lrsearch_command(url, *arguments):
    result = CliRunner().invoke(cli, [*arguments, "--storage", url], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_searched_multipliers_are_parameters_of_the_study(url, tmp_path):
    space = {**ADAMW, "groups": {"^0": LOG, "^3": {"weight_decay": 0}}}
    found = lrsearch.search(task_with(), trials=6, storage=url, name="mine", space=space, **QUICK)
    rules = found.best.group_rules
    assert [rule.match for rule in rules] == [("^0",), ("^3",)]
    assert 0.05 <= rules[0].lr_scale <= 1.0
    model = tiny_task().make({}).model()
    optimizer, _ = found.best.build(model, steps_per_epoch=6)
    assert optimizer.param_groups[0]["lr"] == found.best.lr * rules[0].lr_scale
    trials = trials_of(url, "mine")
    assert all("groups.0.lr_scale" in trial.params for trial in trials)
    assert len({trial.params["groups.0.lr_scale"] for trial in trials}) > 1


def test_a_tasks_rules_are_in_its_recipes_and_exports(url, tmp_path):
    found = lrsearch.search(
        task_with(RULES), trials=3, storage=url, name="mine", space=ADAMW, **QUICK
    )
    assert found.best.groups == tuple(RULES)
    text = lrsearch_command(url, "study", "show", "mine", "--json")
    best = json.loads(text)["best"]
    assert best["lr_by_group"] == [
        {"group": "default", "lr": found.best.lr, "layer_decay": None},
        {"group": "3", "lr": found.best.lr * 0.5, "layer_decay": None},
    ]
    shown = lrsearch_command(url, "trial", "show", "mine", str(found.trial))
    assert f"group: 3: lr {found.best.lr * 0.5:.6g}, weight_decay 0" in shown
    lrsearch_command(url, "report", "mine", "--out", str(tmp_path / "report"))
    for page in ("report.html", "report.md"):
        assert "group: 3" in (tmp_path / "report" / page).read_text()
    script = lrsearch_command(url, "export", "mine", "--format", "torch")
    module = {}
    exec(compile(script, "exported", "exec"), module)
    optimizer, _ = module["build"](task_with().model(), 12)
    assert [group["lr"] for group in optimizer.param_groups] == [found.best.lr, found.best.lr * 0.5]


def test_a_tasks_function_is_asked_for_by_its_exports(url):
    def groups(model):
        return [
            {"params": model[3].parameters(), "lr_scale": 0.5},
            {"params": model[0].parameters()},
        ]

    found = lrsearch.search(
        task_with(groups), trials=3, storage=url, name="mine", space=ADAMW, **QUICK
    )
    assert found.best.groups == "task"
    script = lrsearch_command(url, "export", "mine", "--format", "torch")
    module = {}
    exec(compile(script, "exported", "exec"), module)
    optimizer, _ = module["build"](task_with().model(), 12, groups=groups)
    mine, _ = found.best.build(task_with().model(), steps_per_epoch=6, groups=groups)
    lrs = [[group["lr"] for group in each.param_groups] for each in (optimizer, mine)]
    assert lrs[0] == lrs[1] == [found.best.lr * 0.5, found.best.lr]


def test_the_studys_groups_win_over_the_tasks(url):
    space = {**ADAMW, "groups": {"^0": 0.1}}
    found = lrsearch.search(
        task_with(RULES), trials=2, storage=url, name="mine", space=space, **QUICK
    )
    assert found.best.groups == ({"match": "^0", "lr_scale": 0.1},)


def test_a_study_goes_on_with_the_tasks_groups(url):
    for trials in (2, 4):
        found = lrsearch.search(
            task_with(RULES), trials=trials, storage=url, name="mine", space=ADAMW, **QUICK
        )
        assert found.counts.started == trials


@pytest.mark.parametrize(
    ("groups", "space", "message"),
    [
        ([{"match": "^9"}], {}, "space.groups[0], match '^9', takes no parameter of th"),
        (
            [{"lr_scale": 2}],
            {},
            "the task's groups[0] has neither match nor kind; write e.g. match",
        ),
        (
            lambda model: [],
            {},
            "the task's groups() leaves 0.weight out, which is train",
        ),
        (None, {"groups": {"head": 0.1}}, "space.groups[0], match 'head', takes no par"),
        (
            None,
            {"groups": "task"},
            "space.groups = 'task', but the task has no function",
        ),
    ],
    ids=["rule", "wrong", "function", "space", "none"],
)
def test_groups_that_do_not_fit_are_found_before_a_study_is_made(groups, space, message, url):
    with pytest.raises(LrsearchError) as error:
        lrsearch.search(task_with(groups), storage=url, space={**ADAMW, **space}, **QUICK)
    assert message in str(error.value)


def test_a_range_test_ramps_all_groups_in_ratio(url):
    from lrsearch.range_test.plan import ramp_plan
    from lrsearch.spec.study_spec import StudySpec
    from lrsearch.task.task import LoadedTask
    from lrsearch.training.range_test import start_ramp
    from lrsearch.training.task_cache import TaskCache

    spec = StudySpec.from_dict(
        {
            "name": "s",
            "task": "t.py:task",
            "epochs": 2,
            "budget": {"trials": 3},
            "space": {**ADAMW, "groups": {"^0": 0.25, "^3": LOG}},
        }
    )
    loaded = LoadedTask(reference="t", source=None, target=task_with(), code={})
    plan = ramp_plan(spec, "adamw")
    training = start_ramp(spec, plan, TaskCache(loaded, torch.device("cpu")), seed=0)
    middle = (0.05 * 1.0) ** 0.5
    for lr in plan.lrs[:20]:
        first, second = (group["lr"] for group in training.optimizer.param_groups)
        assert first == pytest.approx(lr * 0.25, rel=1e-12)
        assert second == pytest.approx(lr * middle, rel=1e-12)
        training.advance(training.step + 1)
