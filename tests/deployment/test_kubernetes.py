"""deploy/kubernetes and what `lrsearch launch --on kubernetes` prints: against the schemas of
Kubernetes, and what pods run as plain processes on a real, password-protected server. Only where
things are is mapped: the database's host, and /studies."""

import os
import re
import shlex
import stat
import subprocess
from pathlib import Path

import kubernetes_validate
import pytest
import yaml
from processes import Command
from tiny_studies import TASKS, TRIALS, opened

from lrsearch.launch import kubernetes
from lrsearch.launch.fleet import Fleet
from lrsearch.launch.kubernetes import KubernetesTarget, manifests
from lrsearch.launch.snapshot import CodeSnapshot
from lrsearch.report.summary import summarize
from lrsearch.storage.location import locate
from lrsearch.study.open_study import OpenStudy

FOLDER = Path(__file__).parents[2] / "deploy" / "kubernetes"
FILES = sorted(FOLDER.glob("*.yaml"))
#: The oldest that has all fields: a podFailurePolicy is stable since.
VERSION = "1.31"
PASSWORD = "of-a-secret"


def documents(path):
    return list(yaml.safe_load_all(path.read_text()))


def fleet(**changes):
    code = CodeSnapshot(folder=TASKS, files={"tiny.py": (TASKS / "tiny.py").read_bytes()})
    location = locate("postgresql://lrsearch@lrsearch-db/lrsearch")
    return Fleet(**{"study": "tiny", "workers": 2, "location": location, "code": code, **changes})


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_the_files_conform_to_the_schemas(path):
    for document in documents(path):
        kubernetes_validate.validate(document, VERSION, strict=True)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"time_limit": 3600.0, "device": "cuda"},
        {"settings": {"checkpoints": "lrsearch-checkpoints", "namespace": "lab"}},
    ],
    ids=["plain", "limit and GPU", "claim"],
)
def test_a_printed_manifest_conforms_to_the_schemas(changes):
    printed = list(yaml.safe_load_all(KubernetesTarget().plan(fleet(**changes))))
    assert printed == manifests(fleet(**changes))
    assert [document["kind"] for document in printed] == ["ConfigMap", "Job"]
    for document in printed:
        kubernetes_validate.validate(document, VERSION, strict=True)


def test_a_limit_a_gpu_and_a_claim_are_in_the_manifest():
    settings = {"checkpoints": "lrsearch-checkpoints"}
    _, job = manifests(fleet(time_limit=3600.0, device="cuda", settings=settings))
    pod = job["spec"]["template"]["spec"]
    assert job["spec"]["activeDeadlineSeconds"] == 3660
    assert pod["containers"][0]["resources"]["limits"] == {"nvidia.com/gpu": 1}
    assert pod["volumes"][1]["persistentVolumeClaim"] == {"claimName": "lrsearch-checkpoints"}


def test_the_password_stands_in_no_manifest(monkeypatch):
    monkeypatch.setenv("LRSEARCH_STORAGE", f"postgresql://lrsearch:{PASSWORD}@db/lrsearch")
    assert PASSWORD not in KubernetesTarget().plan(fleet(location=locate(None)))
    for path in FILES:
        for document in documents(path):
            assert "Secret" not in document["kind"]


class Pods:
    """What containers run, as processes."""

    def __init__(self, folder, postgres):
        self.folder, self.postgres = folder, postgres
        self.studies = folder / "studies"

    def run(self, container, *, words=None):
        """Its arguments, or other words in the same environment."""
        environment = {}
        for variable in container["env"]:
            reference = variable.get("valueFrom", {}).get("secretKeyRef")
            if reference is None:
                environment[variable["name"]] = variable["value"]
            else:
                assert reference == {"name": "lrsearch-database", "key": "password"}
                environment[variable["name"]] = PASSWORD
        given = [word.replace("/studies", str(self.studies)) for word in words or container["args"]]
        where = {"PGHOSTADDR": "127.0.0.1", "PGPORT": str(self.postgres.port)}
        work = self.folder / "work"
        return Command(*given, folder=work, OMP_NUM_THREADS="1", **environment, **where)

    def mount(self, config_map, job):
        """The files of the ConfigMap, where the pod has them."""
        (volume,) = (v for v in job["spec"]["template"]["spec"]["volumes"] if v["name"] == "code")
        for item in volume["configMap"]["items"]:
            path = self.studies / item["path"]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(config_map["data"][item["key"]])


@pytest.fixture
def pods(tmp_path, postgres):
    """The database as the StatefulSet's container makes it from its environment."""
    stateful = next(d for d in documents(FOLDER / "database.yaml") if d["kind"] == "StatefulSet")
    (container,) = stateful["spec"]["template"]["spec"]["containers"]
    given = {variable["name"]: variable.get("value") for variable in container["env"]}
    user, database = given["POSTGRES_USER"], given["POSTGRES_DB"]
    postgres.execute(f"CREATE ROLE {user} SUPERUSER LOGIN PASSWORD '{PASSWORD}'")
    postgres.execute(f"CREATE DATABASE {database} OWNER {user}")
    probe = container["readinessProbe"]["exec"]["command"]
    words = [str(postgres.binaries / probe[0]), *probe[1:]]
    checked = subprocess.run(words, env={"PGPORT": str(postgres.port)}, capture_output=True)
    assert checked.returncode == 0
    yield Pods(tmp_path, postgres)
    postgres.drop(database)
    postgres.execute(f"DROP ROLE {user}")


@pytest.mark.slow
def test_the_pods_train_a_study_to_its_end(pods):
    (init,) = documents(FOLDER / "init.yaml")
    (container,) = init["spec"]["template"]["spec"]["containers"]
    pods.run(container).succeed()
    create = ["study", "create", str(TASKS / "tiny.yaml")]
    pods.run(container, words=create).succeed()
    config_map, job = manifests(fleet())
    pods.mount(config_map, job)
    (worker,) = job["spec"]["template"]["spec"]["containers"]
    workers = [pods.run(worker) for _ in range(job["spec"]["completions"])]
    for one in workers:
        one.succeed()  # with 0: the pod has completed, and is not replaced
        assert PASSWORD not in one.out + one.err
    with opened(pods.postgres.url("lrsearch")) as database:
        result = summarize(OpenStudy.open(database, "tiny"))
    assert result["budget"]["trials"] == {"total": TRIALS, "used": TRIALS}


def test_kubectl_applies_what_is_printed_and_stop_deletes_it(tmp_path, monkeypatch):
    """A script stands for kubectl, and writes down what it was given."""
    kubectl = tmp_path / "kubectl"
    lines = [
        "#!/bin/sh",
        f'printf "%s\\n" "$*" >> {tmp_path}/words',
        f'[ "$1" = apply ] && cat > {tmp_path}/applied',
        '[ "$1" = get ] && echo "lab lrsearch-tiny"',
        "exit 0",
    ]
    kubectl.write_text("\n".join(lines) + "\n")
    kubectl.chmod(kubectl.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    target = KubernetesTarget()
    (member,) = target.start(fleet(settings={"namespace": "lab"}))
    assert member.log == "kubectl logs --namespace lab job/lrsearch-tiny"
    applied = (tmp_path / "applied").read_text()
    assert applied == target.plan(fleet(settings={"namespace": "lab"}))
    assert [one.id for one in target.stop("tiny")] == ["job/lrsearch-tiny"]
    delete = (tmp_path / "words").read_text().splitlines()[-1].split()
    assert delete[:2] == ["delete", "--namespace=lab"]
    assert delete[-2:] == ["job/lrsearch-tiny", "configmap/lrsearch-tiny-code"]


@pytest.mark.skipif(
    subprocess.run(["sh", "-c", "command -v kubectl"], capture_output=True).returncode != 0,
    reason="kubectl is not installed",
)
def test_the_headers_secret_is_the_one_that_pods_read():
    """By the real kubectl, which needs no cluster for it."""
    head = (FOLDER / "database.yaml").read_text().splitlines()[2]
    command = head.partition("1. ")[2].replace("$(openssl rand -hex 24)", PASSWORD)
    words = [*shlex.split(command), "--dry-run=client", "--output=yaml"]
    made = yaml.safe_load(subprocess.run(words, capture_output=True, text=True, check=True).stdout)
    assert (made["metadata"]["name"], list(made["data"])) == ("lrsearch-database", ["password"])


def test_two_studies_never_share_an_object():
    names = ["tiny", "Tiny", "a/b", "a-b", "a.b", "a" * 90, "a" * 91]
    objects = [kubernetes.object_name(name) for name in names]
    assert len(set(objects)) == len(names)
    for name in objects:
        assert re.fullmatch(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?", name)
        assert len(f"{name}-code") <= kubernetes.NAME_CHARACTERS
