"""`lrsearch launch`: what is started, with which code, and what is refused in one line."""

import json
import os
import stat

import pytest
from click.testing import CliRunner
from processes import until
from sites import opened_site
from tiny_studies import TASKS, make_study, opened

from lrsearch.cli import cli
from lrsearch.errors import LrsearchError
from lrsearch.launch import extras
from lrsearch.launch.fleet import Fleet
from lrsearch.launch.snapshot import CodeSnapshot, snapshot
from lrsearch.report.summary import curve_rows, trial_rows
from lrsearch.storage.location import locate
from lrsearch.task.find import locate_task
from lrsearch.training import devices

URL = "postgresql://lrsearch:secret@db/lrsearch"


@pytest.fixture
def study(sqlite_url, tmp_path, monkeypatch):
    """The tiny study in the database that commands use."""
    monkeypatch.setenv("LRSEARCH_STORAGE", sqlite_url)
    monkeypatch.chdir(tmp_path)
    with opened(sqlite_url) as database:
        yield make_study(database)


def launch(*words):
    ended = CliRunner().invoke(cli, ["launch", "tiny", "--task-dir", str(TASKS), *map(str, words)])
    if ended.exception is not None and not isinstance(ended.exception, SystemExit):
        raise ended.exception
    return ended.output


def executable(path, text):
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--on", "slum", "--workers", 1], r"--on slum: no such target; did you mean 'slurm'\?"),
        (["--on", "local"], "--workers N is needed"),
        (["--on", "local", "--workers", 1, "--apply"], "--apply is for --on kubernetes"),
        (["--on", "local", "--workers", 1, "--set", "a=b"], "--set a: not known on local"),
        (["--on", "ray", "--workers", 1, "--dry-run", "--set", "adress=b"], "mean 'address'"),
        (["--on", "local", "--workers", 1, "--set", "partition"], "KEY=VALUE is accepted"),
        (["--on", "local", "--workers", 1, "--time-limit", "4"], "--time-limit 4: a duration"),
        (["--on", "local", "--workers", 1, "--device", "cuda", "--dry-run"], "found cpu"),
        (["--on", "local", "--workers", 1, "--ray-address", "h:1"], "it is for --on ray"),
        (["--on", "ray", "--workers", 1, "--compile", "on", "--dry-run"], "--compile 'on'"),
        (["--on", "kubernetes", "--workers", 1], "pods share no SQLite file"),
    ],
)
def test_what_cannot_be_started_is_refused_in_one_line(study, words, said):
    with pytest.raises(LrsearchError, match=said) as refused:
        launch(*words)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(("place", "package"), [("slurm", "submitit"), ("ray", "ray")])
def test_a_missing_extra_is_named(study, monkeypatch, place, package):
    monkeypatch.setattr(extras, "find_spec", lambda name: None)
    with pytest.raises(LrsearchError, match=rf"needs the package {package}; .*\[{place}\]"):
        launch("--on", place, "--workers", 1)


@pytest.mark.parametrize(("place", "program"), [("slurm", "srun"), ("kubernetes", "kubectl")])
def test_a_missing_program_is_named(study, monkeypatch, tmp_path, place, program):
    if place == "slurm":
        pytest.importorskip("submitit")
    monkeypatch.setenv("PATH", str(tmp_path))
    more = ["--stop"] if place == "kubernetes" else ["--workers", 1, "--dry-run"]
    with pytest.raises(LrsearchError, match=f"{program} is not on PATH"):
        launch("--on", place, *more)


def test_a_dry_run_starts_and_writes_nothing(study, tmp_path):
    before = sorted(tmp_path.iterdir())
    local = launch("--on", "local", "--workers", 3, "--dry-run", "--device", "cpu")
    line = f"lrsearch worker tiny --device cpu --fuse auto --compile auto --task-dir {TASKS}"
    assert local.splitlines() == [line] * 3
    ray = json.loads(launch("--on", "ray", "--workers", 2, "--dry-run", "--device", "cuda"))
    assert ray["actors"] == ["tiny#0", "tiny#1"]
    assert (ray["options"]["num_gpus"], ray["options"]["max_restarts"]) == (1, -1)
    assert ray["code"] == ["tiny.py"]
    assert ray["runs"][-2:] == ["--compile", "auto"]
    assert sorted(tmp_path.iterdir()) == before


def test_on_this_machine_each_worker_gets_a_gpu_in_turn(study, monkeypatch):
    monkeypatch.setattr(devices, "devices", lambda: ["cuda:0", "cuda:1"])
    how = ("--workers", 3, "--dry-run", "--device", "cuda", "--compile", "off")
    lines = [line.split() for line in launch("--on", "local", *how).splitlines()]
    assert [words[words.index("--device") + 1] for words in lines] == ["cuda:0", "cuda:1", "cuda:0"]
    assert all(words[words.index("--compile") + 1] == "off" for words in lines)


def test_a_worker_with_a_time_limit_says_when_its_study_is_not_finished(study):
    for place in ("local", "ray"):
        how = ("--workers", 1, "--dry-run", "--device", "cpu", "--time-limit", "4h")
        assert "--unfinished-code" in launch("--on", place, *how)


def test_the_script_of_slurm_has_the_limit_the_signal_and_no_password(study, monkeypatch, tmp_path):
    pytest.importorskip("submitit")
    executable(tmp_path / "srun", "#!/bin/sh\n")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("PGPASSWORD", "hush-hush")
    how = ["--time-limit", "4h", "--device", "cuda", "--set", "partition=gpu"]
    script = launch("--on", "slurm", "--workers", 2, "--dry-run", *how)
    for option in ("time=240", "signal=USR1@90", "requeue", "partition=gpu", "gpus-per-node=1"):
        assert f"#SBATCH --{option}\n" in script
    assert "--time-limit 14400s --unfinished-code 75" in script
    assert "hush-hush" not in script


def test_a_snapshot_is_the_code_of_now_with_links_to_what_lies_beside_it(tmp_path):
    folder, target = tmp_path / "study", tmp_path / "snapshot"
    (folder / "part").mkdir(parents=True)
    (folder / "task.py").write_text("first")
    (folder / "part" / "model.py").write_text("model")
    (folder / "part" / "data.csv").write_text("data")
    files = {"task.py": b"first", "part/model.py": b"model"}
    CodeSnapshot(folder=folder, files=files).write(target)
    (folder / "task.py").write_text("second")
    (folder / "part" / "data.csv").write_text("more data")
    assert (target / "task.py").read_text() == "first"
    assert (target / "part" / "model.py").read_text() == "model"
    assert (target / "part" / "data.csv").read_text() == "more data"
    assert (target / "part" / "data.csv").is_symlink()


def test_a_worker_accepts_the_snapshot_of_a_study(study, tmp_path):
    code = snapshot(study, [TASKS])
    assert code.folder == TASKS
    place = code.write(tmp_path / "code")
    found = locate_task("tiny.py:task", study.code, [place], strict=True)
    assert found.folder == place


def test_the_words_of_a_worker_hold_no_password(monkeypatch):
    monkeypatch.setenv("LRSEARCH_STORAGE", URL)
    code = CodeSnapshot(folder=TASKS, files={})
    fleet = Fleet(study="tiny", workers=1, location=locate(None), code=code, time_limit=90.4)
    assert "secret" not in " ".join(fleet.words(TASKS))
    assert fleet.words(None)[-2:] == ["--time-limit", "90s"]
    assert ":secret@" in fleet.environment()["LRSEARCH_STORAGE"]


@pytest.mark.slow
def test_a_fleet_here_outlives_its_command_and_is_stopped_in_order(sqlite_url, tmp_path):
    """Real processes, started and stopped by commands that end at once."""
    with opened_site(sqlite_url, tmp_path) as site:
        search = make_study(site.database, epochs=40)
        site.say("slow")
        how = (
            "--task-dir",
            TASKS,
            "--device",
            "cpu",
            "--workers",
            2,
            "--time-limit",
            "1h",
            "--json",
        )
        started = json.loads(site.command("launch", "tiny", "--on", "local", *how).succeed())
        assert len({member["id"] for member in started["started"]}) == 2
        stop = ("launch", "tiny", "--on", "local", "--stop", "--json")
        try:
            rows = lambda: curve_rows(search, number=None, all_attempts=True)[0]  # noqa: E731
            until(lambda: len({row["trial"] for row in rows()}) == 2)
        finally:
            ended = json.loads(site.command(*stop).succeed())
        assert ended["ended"] == started["started"]
        assert site.holders() == []
        assert {row["state"] for row in trial_rows(search)} >= {"running"}
        assert site.checkpoints()
        assert json.loads(site.command(*stop).succeed())["ended"] == []
