"""The deployment files, checked without a container engine."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
COMPOSE_FILE = ROOT / "docker-compose.yml"


@pytest.fixture(scope="module")
def compose() -> dict:
    return yaml.safe_load(COMPOSE_FILE.read_text())


def test_the_compose_file_conforms_to_the_schema():
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    check = subprocess.run([*command, COMPOSE_FILE], capture_output=True, text=True)
    assert check.returncode == 0, check.stdout + check.stderr


def test_workers_start_after_a_healthy_database_was_initialised(compose):
    services = compose["services"]
    assert "pg_isready" in services["db"]["healthcheck"]["test"]
    assert services["init"]["depends_on"]["db"]["condition"] == "service_healthy"
    assert services["init"]["command"] == ["db", "init"]
    after_init = services["worker"]["depends_on"]["init"]["condition"]
    assert after_init == "service_completed_successfully"


def test_the_worker_can_be_scaled(compose):
    worker = compose["services"]["worker"]
    assert worker.keys().isdisjoint({"container_name", "hostname", "ports", "scale"})
    assert "replicas" not in worker.get("deploy", {})


def test_the_worker_serves_a_project_for_ever_and_may_save_when_it_is_stopped(compose):
    worker = compose["services"]["worker"]
    assert worker["command"][:4] == ["worker", "--project", "${PROJECT:-default}", "--forever"]
    assert worker["restart"] == "unless-stopped"
    assert worker["stop_grace_period"] == "1m"


def test_the_study_files_are_mounted_read_only(compose):
    assert "./studies:/studies:ro" in compose["services"]["worker"]["volumes"]


def test_every_secret_is_a_file_that_git_ignores(compose):
    assert compose["secrets"].keys() == {"postgres_password", "pgpass"}
    for secret in compose["secrets"].values():
        assert secret.keys() == {"file"}
        assert secret["file"].startswith("./secrets/")
    assert "secrets/" in (ROOT / ".gitignore").read_text().splitlines()


def test_no_password_stands_in_the_compose_file(compose):
    for service in compose["services"].values():
        for name, value in service.get("environment", {}).items():
            assert "PASSWORD" not in name or name.endswith("_FILE"), name
            assert not re.search(r"://[^/@]*:[^/@]*@", value), name


def test_the_image_runs_lrsearch_as_an_ordinary_user():
    instructions = [
        line.split(maxsplit=1)
        for line in (ROOT / "Dockerfile").read_text().splitlines()
        if line.startswith(("ENTRYPOINT ", "USER "))
    ]
    assert [name for name, _ in instructions] == ["USER", "ENTRYPOINT"]
    (_, user), (_, entrypoint) = instructions
    assert user not in {"root", "0"}
    assert json.loads(entrypoint) == ["lrsearch"]
