"""`hydra/sweeper=lrsearch`: the study that a multirun describes, and a real one."""

import json
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import JobReturn, JobStatus
from omegaconf import OmegaConf

from lrsearch.errors import SpecError, TaskError
from lrsearch.hydra import job
from lrsearch.hydra.study import Settings, study_of
from lrsearch.spec.study_spec import StudySpec

CONFIG = OmegaConf.create({"trainer": {"epochs": 4}, "hydra": {"job": {"name": "my app"}}})
LR = "optim.lr=tag(log, interval(1e-4, 1e-1))"


def made(*overrides, **settings):
    parsed = OverridesParser.create().parse_overrides(list(overrides))
    return study_of(Settings(**settings), parsed, CONFIG, ["python", "app.py"])


def test_a_multirun_is_a_study_of_a_command():
    study = made(
        LR, "model.width=choice(32, 64)", "data=small", seed="seed", epochs="trainer.epochs"
    )
    assert study["command"][:7] == [
        "python",
        "app.py",
        "data=small",
        "optim.lr={optimizer.lr}",
        "model.width={params.width}",
        "seed={seed}",
        "trainer.epochs={epochs}",
    ]
    assert "hydra.run.dir='{dir}'" in study["command"]
    assert study["epochs"] == 4
    spec = StudySpec.from_dict(study, where="study.yaml")
    lr = spec.space.optimizers["script"]["lr"]
    assert (lr.low, lr.high, lr.log) == (1e-4, 1e-1, True)
    assert spec.space.params["width"].choices == (32, 64)
    assert spec.program == "command"


@pytest.mark.parametrize(
    ("override", "domain"),
    [
        ("x=interval(0, 1)", {"low": 0.0, "high": 1.0}),
        ("x=int(interval(1, 10))", {"low": 1, "high": 10}),
        ("x=tag(log, int(interval(1, 100)))", {"low": 1, "high": 100, "log": True}),
        ("x=range(1, 4)", {"choices": [1, 2, 3]}),
        ("x=choice(relu, 'a b', true, 0.5)", {"choices": ["relu", r"a\ b", True, 0.5]}),
        ("x=resnet,vgg", {"choices": ["resnet", "vgg"]}),
    ],
)
def test_sweeps_of_hydra_are_domains(override, domain):
    assert made(LR, override)["space"]["params"] == {"x": domain}


def test_the_same_last_word_of_two_keys_is_told_apart():
    study = made(LR, "enc.width=1,2", "+dec.width=3,4")
    assert set(study["space"]["params"]) == {"enc_width", "dec_width"}
    assert "+dec.width={params.dec_width}" in study["command"]


def test_braces_of_the_users_stay():
    study = made(LR, "a={b: 1}")
    assert "a={{b: 1}}" in study["command"]


def test_the_name_tells_one_search_from_another():
    assert made(LR)["name"] == made(LR)["name"] != made(LR, "x=1,2")["name"]
    assert made(LR)["name"].startswith("my-app-")


@pytest.mark.parametrize(
    ("overrides", "settings", "said"),
    [
        (["a=1"], {}, "hydra.sweeper.params has nothing to search; write params: {optim.lr: "),
        (
            ["a=1,2"],
            {},
            "none of the searched keys is called lr or learning_rate; name the key",
        ),
        ([LR, "b.lr=1,2"], {}, "optim.lr and b.lr is called lr"),
        ([LR], {"momentum": "a.b"}, "hydra.sweeper names a.b, but it is not searched: optim.lr"),
        ([LR], {"epochs": "no.where"}, "names the key of the epochs, but its value is None"),
    ],
)
def test_what_cannot_be_a_study_is_said_in_one_line(overrides, settings, said):
    with pytest.raises(SpecError) as error:
        made(*overrides, **settings)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def ended(folder, value, status=JobStatus.COMPLETED):
    config = OmegaConf.create({"hydra": {"runtime": {"output_dir": str(folder)}}})
    returned = JobReturn(status=status)
    returned.return_value = value
    job.ReturnValue("val_loss").on_job_end(config, returned)
    file = folder / job.FILE
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


@pytest.fixture(autouse=True)
def _nothing_reported(monkeypatch):
    monkeypatch.setattr(job, "_reported", set())


def test_a_value_that_is_returned_is_the_report(tmp_path):
    assert ended(tmp_path, 0.25) == [{"val_loss": 0.25}]


def test_a_job_that_has_reported_may_return_anything(tmp_path, monkeypatch):
    config = SimpleNamespace(runtime=SimpleNamespace(output_dir=str(tmp_path)))
    monkeypatch.setattr(job.HydraConfig, "initialized", lambda: True)
    monkeypatch.setattr(job.HydraConfig, "get", lambda: config)
    job.report(val_loss=0.5, acc=1)
    assert ended(tmp_path, None) == [{"val_loss": 0.5, "acc": 1.0}]


def test_a_job_that_tells_nothing_is_an_error(tmp_path):
    with pytest.raises(TaskError, match="the job returned nothing and reported no val_loss; ret"):
        ended(tmp_path, None)
    assert ended(tmp_path, None, JobStatus.FAILED) == []


def test_a_report_outside_a_job_is_an_error():
    with pytest.raises(TaskError, match="called outside a job of hydra"):
        job.report(val_loss=1.0)


APP = """
import time
import hydra
from lrsearch.hydra import report

@hydra.main(version_base=None, config_path="conf", config_name="config")
def main(cfg):
    if cfg.returns:
        return abs(cfg.optim.lr - 0.01)
    for epoch in range(cfg.epochs):
        report(val_loss=abs(cfg.optim.lr - 0.01) / (epoch + 1))
        time.sleep(0.5)

main()
"""
YAML = """
defaults:
  - _self_
  - override hydra/sweeper: lrsearch
epochs: 4
returns: false
optim: {lr: 0.1}
hydra:
  sweeper:
    name: swept
    runs: 3
    workers: 2
    epochs: epochs
    params:
      optim.lr: tag(log, interval(1e-4, 1e-1))
"""


def multirun(folder, *arguments):
    (folder / "conf").mkdir(exist_ok=True)
    (folder / "app.py").write_text(APP)
    (folder / "conf" / "config.yaml").write_text(YAML)
    return subprocess.run(
        [sys.executable, "app.py", "-m", *arguments],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_a_multirun_trains_and_answers(tmp_path):
    ran = multirun(tmp_path, "returns=true", "hydra.sweeper.runs=2")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "Best recipe so far" in ran.stdout
    assert "optim.lr=" in ran.stdout
    folders = [path.parent for path in tmp_path.rglob(job.FILE)]
    assert len(folders) >= 2
    assert all((folder / ".hydra" / "config.yaml").exists() for folder in folders)


@pytest.mark.slow
def test_a_multirun_prunes(tmp_path):
    ran = multirun(tmp_path, "hydra.sweeper.runs=8")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    files = list(tmp_path.rglob(job.FILE))
    counts = sorted(len(file.read_text().splitlines()) for file in files)
    assert counts[-1] == 4
    assert counts[0] < 4


def test_an_error_of_a_multirun_is_one_line(tmp_path):
    ran = multirun(tmp_path, "hydra.sweeper.lr=no.such")
    assert ran.returncode == 1
    assert ran.stderr.splitlines()[0] == (
        "hydra.sweeper names no.such, but it is not searched: optim.lr"
    )
