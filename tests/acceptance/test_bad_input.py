"""Whatever a user gets wrong ends in one line that says where, what came and what to do: exit
code 1, no traceback, and no database that was not there before."""

import ctypes
import json
import os
import resource
import shutil
import socket
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest
import yaml
from command import files_below, run_alone, run_command

LRSEARCH = [sys.executable, "-m", "lrsearch"]

TASK = """
from dataclasses import replace

import torch
from torch import nn
from torch.nn.functional import cross_entropy

import lrsearch


def make_model():
    return nn.Linear(4, 3)


def accuracy(output, target):
    return (output.argmax(1) == target).float().mean()


inputs, targets = torch.zeros(64, 4), torch.zeros(64, dtype=torch.int64)
task = lrsearch.Task(
    model=make_model,
    train=(inputs, targets),
    validation=(inputs + 1, targets.clone()),
    loss=cross_entropy,
    metrics={"accuracy": accuracy},
    batch_size=16,
)


def broken(*arguments, **keywords):
    raise RuntimeError("the user's own\\nmessage")
"""

STUDY = {"name": "small", "task": "task.py:task", "epochs": 4, "budget": {"trials": 4}}


@pytest.fixture
def folder(tmp_path):
    """A folder with a good study: task.py and study.yaml."""
    return write_folder(tmp_path / "work")


def write_folder(folder):
    folder.mkdir()
    (folder / "task.py").write_text(TASK)
    write_study(folder)
    return folder


def write_study(folder, **changes):
    (folder / "study.yaml").write_text(yaml.safe_dump({**STUDY, **changes}))


LOADING = "loading PyTorch ..."


def assert_refused(ended, *parts):
    """Exit code 1 and one line on stderr, `Error: ...`, that has all the parts.

    Before it stands only that PyTorch is loaded, in a process of its own.
    """
    assert ended.code == 1, ended
    assert "Traceback" not in ended.out
    lines = [line for line in ended.err.splitlines() if line != LOADING]
    assert len(lines) == 1, ended.err
    assert lines[0].startswith("Error: ")
    for part in parts:
        assert part in lines[0]


def refused(folder, *arguments, parts, **environment):
    """Run the command; it must be refused with one line that has `parts`, and leave no file."""
    before = files_below(folder)
    ended = run_alone(*arguments, folder=folder, **environment)
    assert_refused(ended, *parts)
    assert files_below(folder) == before


def refused_alike(folder, *parts, file="study.yaml"):
    """`check` and `run` refuse the study file in the same words."""
    refused(folder, "check", file, parts=parts)
    refused(folder, "run", file, parts=parts)


def test_the_good_study_is_accepted(folder):
    ended = run_command("check", "study.yaml", folder=folder)
    assert (ended.code, ended.err) == (0, "")


# The study file


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        pytest.param(None, ["No such file"], id="missing"),
        pytest.param(b"name: [small\n", ["not valid YAML", "line 2"], id="malformed"),
        pytest.param(b"name: a\n\tepochs: 3\n", ["not valid YAML", "line 2"], id="tab"),
        pytest.param(b"- name\n- task\n", ["is a list", "mapping"], id="list"),
        pytest.param(b"digits\n", ["is a str", "mapping"], id="word"),
        pytest.param(b"", ["is empty", "mapping"], id="empty"),
        pytest.param(b"# a comment\n", ["is empty", "mapping"], id="comment"),
        pytest.param(b"\x89PNG\r\n\x1a\n\xff\xfe", ["not UTF-8"], id="binary"),
        pytest.param(b"a\x00b", ["not valid YAML"], id="null byte"),
        pytest.param(b"!!python/object:os.system {}", ["not valid YAML"], id="object"),
        pytest.param(b"? [a, b]\n: 1\n", ["not valid YAML"], id="list as a key"),
        pytest.param(b"name: a\n1: 2\n", ["1 is not a field"], id="number as a key"),
    ],
)
def test_a_file_that_is_no_study(folder, content, parts):
    path = folder / "study.yaml"
    path.unlink() if content is None else path.write_bytes(content)
    refused_alike(folder, "study.yaml", *parts)


def test_a_folder_as_the_study_file(folder):
    refused_alike(folder, "is a folder, but a study FILE is needed", file=".")


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        pytest.param({"epoch": 3}, ["epoch is not a field", "'epochs'"], id="unknown field"),
        pytest.param({"budget": {"trails": 3}}, ["budget.trails", "'trials'"], id="nested field"),
        pytest.param({"budget": {}}, ["budget", "trials, runs, epochs or time"], id="no budget"),
        pytest.param({"budget": 60}, ["budget = 60", "{runs: 60}"], id="budget no mapping"),
        pytest.param({"name": "my study!"}, ["name = 'my study!'", "write my-study"], id="spaces"),
        pytest.param({"batch_size": 8}, ["batch_size", "in the Task", "params"], id="batch size"),
        pytest.param({"lr": 0.1}, ["lr is not a field", "space: {optimizers"], id="lr"),
        pytest.param({"budget": {"trials": 0}}, ["budget.trials", "0", "1"], id="no trials"),
        pytest.param({"budget": {"time": "soon"}}, ["budget.time", "soon", "20m"], id="time"),
        pytest.param({"epochs": 0}, ["epochs", "0", "1"], id="no epochs"),
        pytest.param({"epochs": 2.5}, ["epochs", "2.5"], id="half an epoch"),
        pytest.param({"epochs": "many"}, ["epochs", "many"], id="epochs no number"),
        pytest.param({"epochs": None}, ["horizon", "epochs or steps"], id="no horizon"),
        pytest.param({"steps": 5}, ["horizon", "epochs or steps"], id="two horizons"),
        pytest.param({"name": "a/b/c"}, ["name", "a/b/c"], id="two slashes in the name"),
        pytest.param({"name": None}, ["name"], id="null name"),
        pytest.param({"seed": -1}, ["seed", "-1", "0"], id="seed"),
        pytest.param({"objective": "accuracy"}, ["objective", "direction"], id="no direction"),
        pytest.param(
            {"objective": {"metric": "acuracy", "direction": "maximize"}},
            ["objective.metric", "'acuracy'", "'accuracy'"],
            id="unknown metric",
        ),
        pytest.param(
            {"objective": {"metric": "accuracy", "direction": "up"}},
            ["objective.direction", "'up'", "maximize"],
            id="direction",
        ),
        pytest.param({"validate_every": "step"}, ["validate_every", "fraction"], id="validate"),
        pytest.param({"pruning": {"rungs": [0.5, 0.1]}}, ["pruning.rungs", "rising"], id="rungs"),
        pytest.param({"precision": "fp8"}, ["precision", "fp8", "bf16"], id="precision"),
        pytest.param({"accumulate": 0}, ["accumulate = 0", "1"], id="accumulate"),
        pytest.param({"accumulate": 99}, ["accumulate = 99", "an epoch has"], id="long step"),
        pytest.param({"clip_norm": 0}, ["clip_norm", "0"], id="clip"),
        pytest.param({"checkpoints": "foo://x"}, ["checkpoints", "foo", "s3://"], id="checkpoints"),
        pytest.param({"warm_start": "a"}, ["warm_start", "a list of studies"], id="warm start"),
        pytest.param(
            {"warm_start": [{"optuna": "a", "map": {"lr": "adam.lrr"}}]},
            ["warm_start[0]", "map.lr", "did you mean 'lr'"],
            id="warm start map",
        ),
        pytest.param({"range_test": "once"}, ["range_test", "once", "auto"], id="range test"),
        pytest.param(
            {"on_code_change": "ignore"}, ["on_code_change", "ignore", "refuse"], id="code"
        ),
        pytest.param({"baseline": {"optimizer": "sgd"}}, ["baseline", "lr"], id="baseline"),
        pytest.param(
            {"enqueue": [{"optimizer": {"name": "adamm", "lr": 0.1}}]},
            ["enqueue[0]", "'adamm'", "'adam'"],
            id="enqueue",
        ),
        pytest.param(
            {"baseline": {"optimizer": {"name": "sgd", "lr": 0.1}, "epochs": 9}},
            ["baseline.epochs", "9", "4"],
            id="baseline with another horizon",
        ),
    ],
)
def test_a_wrong_field(folder, changes, parts):
    write_study(folder, **changes)
    refused(folder, "run", "study.yaml", parts=("study.yaml", *parts))


def optimizers(**fields):
    return {"optimizers": fields}


def sgd(**fields):
    return optimizers(sgd=fields)


@pytest.mark.parametrize(
    ("space", "parts"),
    [
        pytest.param("defaults", ["space", "'defaults'", "'default'"], id="preset"),
        pytest.param(5, ["space = 5", "preset"], id="number"),
        pytest.param({"optimizer": {}}, ["space.optimizer", "'optimizers'"], id="field"),
        pytest.param(
            optimizers(adanw={}), ["space.optimizers.adanw", "'adamw'"], id="unknown optimizer"
        ),
        pytest.param(
            {"schedules": {"cosin": {}}}, ["space.schedules.cosin", "'cosine'"], id="schedule"
        ),
        pytest.param(
            {"schedules": ["CosineAnnealingLR"]},
            ["'CosineAnnealingLR'", "it is 'cosine' here"],
            id="torch's schedule",
        ),
        pytest.param(
            {"schedules": {"cosine_annealing": {}}},
            ["space.schedules.cosine_annealing", "it is 'cosine' here"],
            id="another name of a schedule",
        ),
        pytest.param(optimizers(AdamW={}), ["'AdamW'", "did you mean 'adamw'"], id="torch's class"),
        pytest.param(
            {"schedules": ["cosine", "wrong"]}, ["wrong", "accepted", "cosine"], id="no near miss"
        ),
        pytest.param(optimizers(), ["space.optimizers is empty", "adamw"], id="none"),
        pytest.param({"schedules": 3}, ["space.schedules"], id="schedules no mapping"),
        pytest.param(sgd(momentun=0.9), ["sgd.momentun", "'momentum'"], id="optimizer field"),
        pytest.param(
            optimizers(sgd=0.1), ["space.optimizers.sgd", "fields"], id="number as fields"
        ),
        pytest.param(
            {"schedules": {"step": {"gama": 0.1}}}, ["step.gama", "'gamma'"], id="schedule field"
        ),
        pytest.param(
            sgd(lr={"low": 0, "high": 1, "log": True}),
            ["space.optimizers.sgd.lr.low = 0", "log", "above 0"],
            id="0 in a log range",
        ),
        pytest.param(
            sgd(lr={"low": 1.0, "high": 0.1}),
            ["sgd.lr.low = 1 is above", "sgd.lr.high = 0.1"],
            id="low above high",
        ),
        pytest.param(sgd(lr=-0.1), ["sgd.lr = -0.1", "above 0"], id="negative lr"),
        pytest.param(sgd(lr=0), ["sgd.lr = 0", "above 0"], id="lr 0"),
        pytest.param(
            sgd(lr={"low": -1, "high": 1}), ["sgd.lr.low = -1", "above 0"], id="negative low"
        ),
        pytest.param(sgd(lr=float("nan")), ["sgd.lr = nan", "finite"], id="nan"),
        pytest.param(sgd(lr="nan"), ["sgd.lr = 'nan'", "finite"], id="nan as a word"),
        pytest.param(
            sgd(lr={"low": 0.1, "high": float("inf")}), ["sgd.lr.high = inf", "finite"], id="inf"
        ),
        pytest.param(sgd(lr="fast"), ["sgd.lr = 'fast'", "number"], id="word for a number"),
        pytest.param(sgd(lr=None), ["sgd.lr = None", "number"], id="null for a number"),
        pytest.param(sgd(lr=True), ["sgd.lr = True", "number"], id="flag for a number"),
        pytest.param(sgd(lr=[]), ["sgd.lr", "empty"], id="no choices"),
        pytest.param(
            sgd(lr=[1e-4, 1e-1]),
            ["sgd.lr", "ambiguous", "{low: 0.0001, high: 0.1}", "{choices: [0.0001, 0.1]}"],
            id="two-element list",
        ),
        pytest.param(sgd(lr={"high": 1}), ["sgd.lr has no `low`"], id="no low"),
        pytest.param(
            sgd(lr={"min": 0.1, "max": 1}),
            ["not a field of a range", "low", "high"],
            id="min and max",
        ),
        pytest.param(sgd(momentum=1.0), ["sgd.momentum = 1.0", "below 1"], id="momentum 1"),
        pytest.param(sgd(nesterov=True, momentum=0), ["sgd.nesterov", "momentum"], id="nesterov"),
        pytest.param(
            optimizers(adam={"betas": [0.9]}), ["adam.betas", "two numbers"], id="one beta"
        ),
        pytest.param(
            {"schedules": {"one_cycle": {"cycle_momentum": True}}, **sgd()},
            ["one_cycle.cycle_momentum = true", "sgd", "fix momentum", "cycle_momentum: false"],
            id="cycled and searched momentum",
        ),
        pytest.param(
            {"schedules": {"one_cycle": {"cycle_momentum": True}}, **optimizers(adagrad={})},
            ["one_cycle.cycle_momentum = true", "momentum", "adagrad"],
            id="cycled momentum without momentum",
        ),
        pytest.param(
            {"schedules": {"plateau": {}}, "warmup": 0.05},
            ["plateau takes no warm-up", "add 0.0 to warmup"],
            id="plateau with warm-up",
        ),
        pytest.param({"warmup": 1.0}, ["space.warmup = 1.0", "below 1"], id="only warm-up"),
        pytest.param({"params": [1]}, ["space.params", "mapping"], id="params"),
        pytest.param({"params": {"width": 3}}, ["task.py:task", "width"], id="params of a Task"),
    ],
)
def test_a_wrong_space(folder, space, parts):
    write_study(folder, space=space)
    refused(folder, "run", "study.yaml", parts=("study.yaml", *parts))


def test_a_param_that_the_task_does_not_take(folder):
    (folder / "task.py").write_text(f"{TASK}\ndef made(width=3):\n    return task\n")
    write_study(folder, task="task.py:made", space={"params": {"widht": 4}})
    parts = ["space.params.widht is no argument of task.py:made", "did you mean 'width'"]
    refused_alike(folder, "study.yaml", *parts)


def test_json_is_alone_on_stdout_where_the_task_prints(folder):
    says = "import os\nprint('epoch 1')\nos.system('echo from a program')\n"
    (folder / "task.py").write_text(f"{says}{TASK}")
    ended = run_command("check", "study.yaml", "--json", folder=folder)
    assert json.loads(ended.out)["name"] == "small"
    assert {"epoch 1", "from a program"} <= set(ended.err.splitlines())


def test_a_number_as_a_reference(folder):
    write_study(folder, task=3)
    refused_alike(folder, "study.yaml", "task = 3")


# The task


@pytest.mark.parametrize(
    ("reference", "parts"),
    [
        pytest.param("tsk.py:task", ["tsk.py does not exist"], id="file missing"),
        pytest.param("task.py:tassk", ["'tassk'", "did you mean 'task'"], id="near miss"),
        pytest.param("task.py:inputs", ["task.py:inputs is Tensor", "a Task"], id="a tensor"),
        pytest.param("task.py:make_model", ["returned Linear", "a Task"], id="another function"),
        pytest.param("task.py", ["'task.py'", "FILE.py:attribute"], id="no attribute"),
        pytest.param("no.such.module:task", ["no.such.module", "no such module"], id="module"),
        pytest.param("task.py:broken", ["RuntimeError: the user's own message"], id="raises"),
        pytest.param("task.py:cross_entropy", ["cross_entropy", "TypeError"], id="arguments"),
    ],
)
def test_a_wrong_reference(folder, reference, parts):
    write_study(folder, task=reference)
    refused_alike(folder, "study.yaml", "task", *parts)


@pytest.mark.parametrize(
    ("code", "parts"),
    [
        pytest.param("def task(:", ["task.py", "SyntaxError", "line 1"], id="syntax"),
        pytest.param("import no_such_module", ["no_such_module"], id="import"),
        pytest.param("1 / 0", ["task.py", "ZeroDivisionError"], id="raises at import"),
        pytest.param("import sys\nsys.exit(3)", ["task.py", "SystemExit: 3"], id="exits at import"),
        pytest.param("x = '\x00'", ["task.py"], id="null byte"),
    ],
)
def test_a_task_file_that_cannot_be_imported(folder, code, parts):
    (folder / "task.py").write_text(code)
    refused_alike(folder, "study.yaml", "importing the task raised", *parts)


def test_a_task_file_that_is_no_text(folder):
    (folder / "task.py").write_bytes(b"\xff\xfe\x00\x01")
    refused_alike(folder, "study.yaml", "task.py")


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        pytest.param("model=broken", ["model()", "RuntimeError: the user's own message"], id="mdl"),
        pytest.param("model=lambda: 3", ["model()", "int", "Module"], id="no module"),
        pytest.param("model=nn.ReLU", ["no parameter"], id="no parameters"),
        pytest.param(
            "model=lambda: nn.Linear(5, 3)", ["the model raised RuntimeError", "4"], id="shape"
        ),
        pytest.param("loss=broken", ["the loss raised RuntimeError"], id="loss raises"),
        pytest.param(
            "loss=lambda output, target: output.sum(1)", ["shape (16,)", "mean"], id="no scalar"
        ),
        pytest.param("loss=lambda output, target: 1.0", ["loss gave float", "tensor"], id="float"),
        pytest.param("loss=lambda output, target: None", ["loss gave NoneType"], id="None"),
        pytest.param(
            "loss=lambda output, target: output.detach().mean()", ["detached"], id="detached"
        ),
        pytest.param("metrics={'f1': broken}", ["metric f1 raised RuntimeError"], id="metric"),
        pytest.param(
            "metrics={'f1': lambda output, target: output}", ["metric f1", "shape"], id="vector"
        ),
        pytest.param("model=nn.Linear(4, 3)", ["model is Linear", "function"], id="a model"),
        pytest.param("model=3", ["model is int", "function"], id="model no function"),
        pytest.param("loss='mse'", ["loss is str", "function"], id="loss no function"),
        pytest.param(
            "metrics={'f1': 3}", ["metric f1 is int", "function"], id="metric no function"
        ),
        pytest.param("metrics=[accuracy]", ["metrics", "list"], id="metrics no mapping"),
        pytest.param("train=(inputs[:0], targets[:0])", ["train is empty"], id="empty train"),
        pytest.param(
            "validation=(inputs[:0], targets[:0])", ["validation is empty"], id="empty validation"
        ),
        pytest.param(
            "train=(inputs[:9], targets[:9])", ["train has 9", "16", "batch_size"], id="small"
        ),
        pytest.param(
            "train=(inputs, targets[:9])", ["train has 64 inputs", "9 targets"], id="unequal"
        ),
        pytest.param("train=inputs", ["train is Tensor", "(inputs, targets)"], id="no targets"),
        pytest.param("train=None", ["train is NoneType"], id="no data"),
        pytest.param("train=broken", ["train raised RuntimeError"], id="loader raises"),
        pytest.param("train=lambda: 3", ["train returned int", "DataLoader"], id="no loader"),
        pytest.param("batch_size=0", ["batch_size", "0"], id="batch of 0"),
        pytest.param("batch_size='many'", ["batch_size", "many"], id="batch no number"),
    ],
)
def test_a_task_that_cannot_train(folder, change, parts):
    (folder / "task.py").write_text(f"{TASK}\ntask = replace(task, {change})\n")
    refused(folder, "run", "study.yaml", parts=("study.yaml", *parts))


# The database


def silent_server():
    """A socket that takes connections and never answers."""
    return socket.create_server(("127.0.0.1", 0))


def closed_port():
    with closing(silent_server()) as server:
        return server.getsockname()[1]


def test_a_database_where_nobody_listens(folder):
    url = f"postgresql://lrsearch@127.0.0.1:{closed_port()}/lrsearch"
    for arguments in (["run", "study.yaml"], ["study", "list"], ["db", "init"]):
        refused(folder, *arguments, "--storage", url, parts=[url, "(--storage)", "refused"])


def test_a_database_that_does_not_answer_is_reported_soon(folder):
    with closing(silent_server()) as server:
        url = f"postgresql://lrsearch@127.0.0.1:{server.getsockname()[1]}/lrsearch"
        for arguments in (["study", "list"], ["run", "study.yaml"]):
            # It gives up after 3 s; the rest is for a busy machine.
            ended = run_alone(*arguments, "--storage", url, folder=folder, seconds=20)
            assert_refused(ended, url, "timeout")


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("mysql://root@localhost/x", ["mysql", "not supported", "sqlite", "postgresql"]),
        ("nonsense", ["no database URL", "sqlite:///FILE", "postgresql://"]),
        ("", ["no database URL", "sqlite:///FILE"]),
        ("sqlite://", ["sqlite:///FILE"]),
        ("sqlite:///:memory:", ["sqlite:///FILE"]),
        ("postgresql://me:secret@localhost/x", ["password", "PGPASSFILE", "LRSEARCH_STORAGE"]),
        ("postgresql+asyncpg://me@localhost:1/x", ["refused"]),
        ("postgresql://me@localhost:port/x", ["no database URL"]),
        ("sqlite:///nowhere/at/all.db", ["nowhere/at", "does not exist"]),
        ("sqlite:///.", ["open", "folder"]),
        ("sqlite:///task.py", ["not a database", "name another"]),
    ],
)
def test_a_wrong_storage(folder, url, parts):
    for arguments in (["run", "study.yaml"], ["db", "init"]):
        refused(folder, *arguments, "--storage", url, parts=parts)


def test_a_password_is_not_repeated(folder):
    url = "postgresql://me:hunter2@127.0.0.1:1/x"
    ended = run_command("study", "list", "--storage", url, folder=folder)
    assert "hunter2" not in ended.out + ended.err
    ended = run_command("study", "list", folder=folder, LRSEARCH_STORAGE=url)
    assert_refused(ended, "LRSEARCH_STORAGE", "refused")
    assert "hunter2" not in ended.out + ended.err


def test_a_wrong_storage_is_said_to_be_where_it_stands(folder):
    parts = ["LRSEARCH_STORAGE", "no database URL"]
    refused(folder, "study", "list", parts=parts, LRSEARCH_STORAGE="nonsense")
    parts = ["LRSEARCH_STORAGE_FILE", "absent", "No such file"]
    refused(folder, "study", "list", parts=parts, LRSEARCH_STORAGE_FILE="absent")
    for content, part in (
        ("storage = 3", "storage ="),
        ("storage", "lrsearch.toml"),
        ("", "has no"),
    ):
        (folder / "lrsearch.toml").write_text(content)
        refused(folder, "study", "list", parts=["lrsearch.toml", part])


@pytest.mark.parametrize(
    "arguments",
    [
        ["study", "list"],
        ["study", "show", "small"],
        ["worker", "small"],
        ["report", "small"],
        ["db", "check"],
    ],
)
def test_readers_make_no_database(folder, arguments):
    refused(folder, *arguments, parts=["lrsearch.db", "holds no studies", "lrsearch run FILE"])


def real_command(folder, *arguments, **options):
    """As a shell starts it, in a new interpreter."""
    process = subprocess.run(
        [*LRSEARCH, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        **options,
    )
    process.code, process.out, process.err = process.returncode, process.stdout, process.stderr
    return process


def without_root_rights():
    """Write permissions hold for root as well in the process that is executed next."""
    if os.geteuid() == 0:
        PR_CAPBSET_DROP, CAP_DAC_OVERRIDE = 24, 1
        ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, 0, 0, 0)


@pytest.mark.parametrize("arguments", [["run", "study.yaml"], ["db", "init"]])
def test_a_folder_that_may_not_be_written_to(folder, tmp_path, arguments):
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o555)
    url = f"sqlite:///{closed}/lrsearch.db"
    ended = real_command(folder, *arguments, "--storage", url, preexec_fn=without_root_rights)
    assert_refused(ended, str(closed), "write", "Permission denied")
    assert not list(closed.iterdir())


def test_a_database_that_may_not_be_written_to(folder):
    assert run_command("study", "create", "study.yaml", folder=folder).code == 0
    before = files_below(folder)
    (folder / "lrsearch.db").chmod(0o444)
    folder.chmod(0o555)
    try:
        write_study_command = ["study", "create", "study.yaml", "--exist-ok"]
        ended = real_command(folder, *write_study_command, preexec_fn=without_root_rights)
    finally:
        folder.chmod(0o755)
    assert_refused(ended, "lrsearch.db", "write")
    assert files_below(folder) == before


@pytest.mark.parametrize(
    "kilobytes", [24, *(pytest.param(size, marks=pytest.mark.slow) for size in (0, 8, 64, 128))]
)
def test_a_disk_that_is_full_at_the_start(folder, kilobytes):
    def small_files():
        resource.setrlimit(resource.RLIMIT_FSIZE, (1024 * kilobytes,) * 2)

    before = files_below(folder)
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    ended = real_command(folder, "run", "study.yaml", preexec_fn=small_files, env=environment)
    assert_refused(ended, "lrsearch.db", "disk")
    assert files_below(folder) == before


# Studies, trials, options


@pytest.fixture(scope="module")
def first_created(tmp_path_factory):
    folder = write_folder(tmp_path_factory.mktemp("created") / "work")
    assert run_command("study", "create", "study.yaml", folder=folder).code == 0
    return folder


@pytest.fixture
def created(first_created, tmp_path):
    """A folder with a good study and the study `small` in its database."""
    return shutil.copytree(first_created, tmp_path / "work")


def dump(folder):
    with closing(sqlite3.connect(folder / "lrsearch.db")) as connection:
        return list(connection.iterdump())


def refused_unchanged(folder, *arguments, parts):
    """As `refused`, where the database is there already: it must say the same afterwards."""
    before, files = dump(folder), set(files_below(folder))
    assert_refused(run_alone(*arguments, folder=folder), *parts)
    assert dump(folder) == before
    assert set(files_below(folder)) == files


@pytest.mark.parametrize(
    "arguments",
    [
        "study show smal",
        "study trials smal",
        "study curves smal",
        "study finish smal",
        "study pause smal",
        "study resume smal",
        "study delete smal --yes",
        "worker smal",
        "report smal",
        "export smal",
        "confirm smal",
        "trial add smal --recipe recipe.yaml",
        "study extend smal study.yaml",
    ],
)
def test_an_unknown_study(created, arguments):
    (created / "recipe.yaml").write_text("optimizer: {name: sgd, lr: 0.1}\n")
    parts = ["no study 'smal'", "lrsearch.db", "did you mean 'small'?"]
    refused_unchanged(created, *arguments.split(), parts=parts)


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"epochs": 9}, ["epochs: 4 -> 9"]),
        ({"seed": 7}, ["seed: 0 -> 7"]),
        ({"precision": "bf16"}, ['precision: "fp32" -> "bf16"']),
        ({"accumulate": 2}, ["accumulate: 1 -> 2"]),
        ({"space": {"warmup": 0.0}}, ["space.warmup"]),
        (
            {"objective": {"metric": "accuracy", "direction": "maximize"}},
            ["objective.direction", "objective.metric"],
        ),
    ],
)
def test_a_study_that_exists_with_another_spec(created, changes, parts):
    write_study(created, **changes)
    parts = ["study 'small' exists with another spec", *parts, "--name"]
    for arguments in (["run"], ["study", "create", "--exist-ok"]):
        refused_unchanged(created, *arguments, "study.yaml", parts=parts)


def test_a_file_that_extends_is_told_how_and_does(created):
    write_study(created, space={"optimizers": ["sgd", "adamw", "adagrad"]}, confirm="none")
    parts = ["space.optimizers", "`lrsearch study extend small FILE` applies it"]
    refused_unchanged(created, "run", "study.yaml", parts=parts)
    done = run_command("study", "extend", "small", "study.yaml", folder=created)
    assert done.code == 0, done.err
    assert "study small extends small.1: 0 trials taken over, 0 left behind" in done.out
    assert done.out.splitlines()[-1] == "go on with: lrsearch run study.yaml"
    shown = run_command("study", "show", "small", "-v", folder=created)
    assert "extends small.1: 0 trials taken over" in shown.out
    again = run_command("study", "extend", "small", "study.yaml", "--json", folder=created)
    assert json.loads(again.out)["old"] is None
    write_study(created, epochs=9)
    parts = ["study 'small' cannot be extended", "epochs: 4 -> 9", "warm_start: [small]"]
    refused_unchanged(created, "study", "extend", "small", "study.yaml", parts=parts)


def test_a_study_that_exists_with_other_code(created):
    (created / "task.py").write_text(TASK + "\n# another one\n")
    parts = [
        "study 'small' exists with another spec",
        "code of task.py",
        "on_code_change: warn",
        "--name",
    ]
    refused_unchanged(created, "run", "study.yaml", parts=parts)
    parts = ["task.py:task", "task.py: ", "--task-dir"]
    refused_unchanged(created, "worker", "small", parts=parts)


def test_a_study_that_exists_is_not_created_again(created):
    parts = ["study 'small' exists already", "--exist-ok", "--name"]
    refused_unchanged(created, "study", "create", "study.yaml", parts=parts)


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        ("study delete small", ["cannot be undone", "--yes"]),
        ("confirm small", ["no complete trial"]),
        ("confirm small --candidates 0", ["--candidates 0", "1"]),
        ("confirm small --runs 0", ["--runs 0", "1"]),
        ("confirm small --workers 0", ["--workers 0", "1"]),
        ("export small", ["no complete trial"]),
        ("export small --trial 3", ["no trial 3"]),
        ("study curves small --trial 3", ["no trial 3"]),
        ("worker small --device cuda:7", ["cuda:7", "found"]),
        ("worker small --device nonsense", ["nonsense", "auto", "cuda:N"]),
        ("worker small --threads 0", ["--threads 0", "1"]),
        ("trial add small --recipe absent.yaml", ["absent.yaml", "No such file"]),
        ("report small --out task.py", ["report in task.py", "is a file"]),
        ("study list --log-file no/such/folder.log", ["--log-file", "no/such/folder.log"]),
    ],
)
def test_what_a_study_does_not_allow(created, arguments, parts):
    refused_unchanged(created, *arguments.split(), parts=parts)


def test_what_a_trained_study_does_not_allow(created):
    ended = run_command("worker", "small", folder=created)
    assert ended.code == 0, ended
    for arguments, parts in [
        ("export small --trial 9", ["no trial 9"]),
        ("export small --format keras", ["keras", "yaml", "json", "torch"]),
        ("export small --format yam", ["'yam'", "'yaml'"]),
        ("export small --out no/such/folder.py", ["--out no/such/folder.py", "No such file"]),
        ("confirm small --runs 9", ["--runs 9", "budget", "at most 1"]),
    ]:
        refused_unchanged(created, *arguments.split(), parts=parts)


@pytest.mark.parametrize(
    ("recipe", "parts"),
    [
        ("{}", ["optimizer is missing"]),
        ("[]", ["mapping"]),
        ("optimizer: {name: sgd}", ["optimizer.lr"]),
        ("optimizer: {name: sdg, lr: 0.1}", ["'sdg'", "'sgd'"]),
        ("optimizer: {name: sgd, lr: 0.1}\nschedul: cosine", ["schedul", "'schedule'"]),
        ("optimizer: {name: sgd, lr: 0.1}\nschedule: cosin", ["'cosin'", "'cosine'"]),
        ("optimizer: {name: sgd, lr: 0.1}\nepochs: 90", ["epochs = 90", "4"]),
        ("optimizer: {name: sgd, lr: 0.1}\nwarmup: 0.1\nschedule: plateau", ["warmup", "plateau"]),
        ("optimizer: {name: sgd, lr: .inf}", ["optimizer.lr", "finite"]),
    ],
)
def test_a_wrong_recipe(created, recipe, parts):
    (created / "recipe.yaml").write_text(recipe)
    arguments = ["trial", "add", "small", "--recipe", "recipe.yaml"]
    refused_unchanged(created, *arguments, parts=["recipe.yaml", *parts])


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        ("--trials 0", ["--trials", "0", "1"]),
        ("--trials -3", ["--trials", "-3"]),
        ("--workers 0", ["--workers 0", "1"]),
        ("--workers -1", ["--workers -1", "at least 1"]),
        ("--name a/b/c", ["name", "a/b/c"]),
        ("--device cuda:7", ["cuda:7", "found"]),
        ("--device nonsense", ["nonsense", "auto", "cuda:N"]),
        ("--device meta", ["meta", "found"]),
        ("--out task.py", ["report in task.py", "is a file", "--out"]),
        ("--out task.py/report", ["report in task.py/report", "task.py is a file"]),
    ],
)
def test_a_wrong_option_of_run(folder, options, parts):
    refused(folder, "run", "study.yaml", *options.split(), parts=parts)


@pytest.mark.parametrize(
    "arguments",
    [
        "",
        "rum",
        "run",
        "run study.yaml --trials many",
        "run a b",
        "study",
        "study show",
        "check -x",
    ],
)
def test_usage_errors_exit_with_2(folder, arguments):
    ended = run_command(*arguments.split(), folder=folder)
    assert (ended.code, ended.out) == (2, "")
    assert "Traceback" not in ended.err


def test_a_fresh_interpreter_says_the_same(folder):
    write_study(folder, epoch=3)
    before = files_below(folder)
    ended = real_command(folder, "run", "study.yaml")
    assert_refused(ended, "epoch is not a field", "did you mean 'epochs'?")
    assert files_below(folder) == before


def test_a_bug_of_ours_keeps_its_traceback(folder):
    script = (
        "import sys, lrsearch.preflight.study_file, lrsearch.cli\n"
        "lrsearch.preflight.study_file.check_spec = lambda *a, **k: {}['bug']\n"
        "sys.argv = ['lrsearch', 'check', 'study.yaml']\n"
        "lrsearch.cli.main()\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script], cwd=folder, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 1
    assert ended.stderr.removeprefix(f"{LOADING}\n").startswith("Traceback")
    assert "KeyError: 'bug'" in ended.stderr
