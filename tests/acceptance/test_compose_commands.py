"""Every command and the healthcheck of docker-compose.yml, run as plain processes."""

import json
import os
import shutil
import string
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
TINY = ROOT / "tests" / "tasks"


@pytest.fixture
def site(postgres, tmp_path):
    """Compose's environment and paths, with this machine's in the place of the containers'."""
    postgres.execute("CREATE ROLE lrsearch LOGIN PASSWORD 'a canary'")
    postgres.execute("CREATE DATABASE lrsearch OWNER lrsearch")
    secret = tmp_path / "pgpass"
    secret.write_text(f"127.0.0.1:{postgres.port}:lrsearch:lrsearch:a canary\n")
    secret.chmod(0o600)
    shutil.copytree(TINY, tmp_path / "studies")
    yield {
        "@db/": f"@127.0.0.1:{postgres.port}/",
        "/run/secrets/pgpass": str(secret),
        "/studies": str(tmp_path / "studies"),
        "folder": tmp_path,
    }
    postgres.execute("DROP DATABASE lrsearch WITH (FORCE)")
    postgres.execute("DROP ROLE lrsearch")


def here(text, site):
    for place in ("@db/", "/run/secrets/pgpass", "/studies"):
        text = text.replace(place, site[place])
    return text


def run(service, site, *words):
    """`docker compose run SERVICE WORDS`, or the service's own command."""
    words = words or COMPOSE["services"][service]["command"]
    values = {"STUDY:-digits": "tiny"}
    template = type("Compose", (string.Template,), {"braceidpattern": r"[A-Z_]+:-\w+"})
    words = [here(template(word).substitute(values), site) for word in words]
    named = COMPOSE["services"][service]["environment"]
    environment = {name: here(value, site) for name, value in named.items()}
    return subprocess.run(
        [sys.executable, "-m", "lrsearch", *words],
        cwd=site["folder"],
        env={"PATH": os.environ["PATH"], "OMP_NUM_THREADS": "1", **environment},
        capture_output=True,
        text=True,
        timeout=240,
    )


def test_the_healthcheck_is_green_when_the_database_answers_and_red_when_not(postgres):
    word, *options = COMPOSE["services"]["db"]["healthcheck"]["test"][1:]
    program = shutil.which(postgres.binaries / word) or shutil.which(word)
    assert program is not None
    for port, green in ((postgres.port, True), (1, False)):
        checked = subprocess.run([program, *options], env={"PGPORT": str(port)}, check=False)
        assert (checked.returncode == 0) is green


def test_init_create_and_two_workers_finish_a_study_as_compose_runs_them(site):
    made = run("init", site)
    assert made.returncode == 0, made.stderr
    assert "made" in made.stdout
    created = run("worker", site, "study", "create", "/studies/tiny.yaml")
    assert created.returncode == 0, created.stderr
    for _ in range(2):  # the second finds a finished study, and ends with 0 as well
        worked = run("worker", site)
        assert worked.returncode == 0, worked.stderr
    shown = run("worker", site, "study", "show", "tiny", "--json")
    study = json.loads(shown.stdout)
    assert study["state"] == "finished"
    assert study["budget"]["trials"]["used"] == study["budget"]["trials"]["total"]
    for process in (made, created, worked, shown):
        assert "canary" not in process.stdout + process.stderr
