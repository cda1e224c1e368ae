"""Workers as an indexed Job of Kubernetes: a manifest, which kubectl applies."""

import hashlib
import re
import shlex
import shutil
import subprocess
from collections.abc import Sequence

from lrsearch.errors import SpecError, StudyError
from lrsearch.launch.fleet import UNFINISHED, Fleet
from lrsearch.launch.target import Member
from lrsearch.plain_data import Document
from lrsearch.storage.location import Location, locate
from lrsearch.user_input import to_yaml

#: `--set KEY=VALUE`, and what holds without it. `storage` is the database's URL as pods reach it,
#: by default the one that this command uses; `secret` has the database's password under the key
#: `password`; `checkpoints` names a PersistentVolumeClaim that all nodes can mount.
DEFAULTS = {
    "image": "lrsearch",
    "namespace": "default",
    "secret": "lrsearch-database",
    "checkpoints": "",
    "storage": "",
}
#: Where a pod has the study's files, and where it works.
STUDIES, WORK = "/studies", "/data"
#: A worker may take so long to save what it trains, after SIGTERM: seconds.
GRACE_SECONDS = 60
#: Failures of the whole Job, for each worker.
FAILURES_PER_WORKER = 3
#: A line for each object: its namespace and its name.
PLACES = r"{range .items[*]}{.metadata.namespace} {.metadata.name}{'\n'}{end}"
#: Kubernetes' own limits: of the name of a Job, and of the data of a ConfigMap in bytes.
NAME_CHARACTERS, CODE_BYTES = 63, 1 << 20


class KubernetesTarget:
    """See `target.Target`. The study's code travels in a ConfigMap, the password is in a Secret."""

    name = "kubernetes"

    def plan(self, fleet: Fleet) -> str:
        return "---\n".join(map(to_yaml, manifests(fleet)))

    def start(self, fleet: Fleet) -> Sequence[Member]:
        _kubectl(["apply", "-f", "-"], text=self.plan(fleet))
        name, namespace = object_name(fleet.study), _setting(fleet, "namespace")
        log = f"kubectl logs --namespace {namespace} job/{name}"
        return [Member(id=f"job/{name}", log=log)]

    def stop(self, study: str) -> Sequence[Member]:
        name = object_name(study)
        chosen = ["--all-namespaces", f"--selector=lrsearch.study={name}"]
        found = _kubectl(["get", "jobs", *chosen, f"--output=jsonpath={PLACES}"])
        members = []
        for line in found.splitlines():
            namespace, job = line.split()
            objects = [f"job/{job}", f"configmap/{job}-code"]
            _kubectl(["delete", f"--namespace={namespace}", "--ignore-not-found", *objects])
            members.append(Member(id=f"job/{job}", log=""))
        return members


def manifests(fleet: Fleet) -> list[Document]:
    """A ConfigMap of the code and the Job. Raises SpecError for what a pod cannot be given."""
    fleet.check_settings("kubernetes", tuple(DEFAULTS))
    if _storage(fleet).url.get_backend_name() == "sqlite":
        raise SpecError(
            "--on kubernetes: pods share no SQLite file; name a PostgreSQL database with --storage"
        )
    size = sum(map(len, fleet.code.files.values()))
    if size > CODE_BYTES:
        raise SpecError(
            f"--on kubernetes: the study's code has {size} bytes, but a ConfigMap holds "
            f"{CODE_BYTES}; put it into the image, and give its folder there with --task-dir"
        )
    return [_config_map(fleet), _job(fleet)]


def _head(fleet: Fleet, kind: str, version: str, name: str) -> Document:
    labels = {"app.kubernetes.io/name": "lrsearch", "lrsearch.study": object_name(fleet.study)}
    meta = {"name": name, "namespace": _setting(fleet, "namespace"), "labels": labels}
    return {"apiVersion": version, "kind": kind, "metadata": meta}


def _config_map(fleet: Fleet) -> Document:
    data = {f"file-{i}": text.decode() for i, text in enumerate(fleet.code.files.values())}
    head = _head(fleet, "ConfigMap", "v1", f"{object_name(fleet.study)}-code")
    return {**head, "immutable": True, "data": data}


def _job(fleet: Fleet) -> Document:
    spec: Document = {
        "completions": fleet.workers,
        "parallelism": fleet.workers,
        "completionMode": "Indexed",
        "backoffLimit": FAILURES_PER_WORKER * fleet.workers,
        # A pod that is preempted, or leaves an unfinished study in order, is replaced.
        "podFailurePolicy": {
            "rules": [
                {
                    "action": "Ignore",
                    "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}],
                },
                {
                    "action": "Ignore",
                    "onExitCodes": {
                        "containerName": "worker",
                        "operator": "In",
                        "values": [UNFINISHED],
                    },
                },
            ]
        },
        "template": _pod(fleet),
    }
    if fleet.time_limit is not None:
        spec["activeDeadlineSeconds"] = round(fleet.time_limit) + GRACE_SECONDS
    return {**_head(fleet, "Job", "batch/v1", object_name(fleet.study)), "spec": spec}


def _pod(fleet: Fleet) -> Document:
    head = _head(fleet, "Job", "batch/v1", "pod")["metadata"]
    items = [{"key": f"file-{i}", "path": name} for i, name in enumerate(fleet.code.files)]
    code = {"name": f"{object_name(fleet.study)}-code", "items": items}
    claim = _setting(fleet, "checkpoints")
    kept = {"persistentVolumeClaim": {"claimName": claim}} if claim else {"emptyDir": {}}
    volumes = [{"name": "code", "configMap": code}, {"name": "checkpoints", **kept}]
    spec: Document = {
        "restartPolicy": "Never",  # the Job makes new pods
        "terminationGracePeriodSeconds": GRACE_SECONDS,
        "securityContext": {"runAsNonRoot": True, "runAsUser": 1000, "fsGroup": 1000},
        "containers": [_container(fleet)],
        "volumes": volumes,
    }
    return {"metadata": {"labels": head["labels"]}, "spec": spec}


def _container(fleet: Fleet) -> Document:
    url = _storage(fleet).url.set(password=None, drivername="postgresql")
    secret = {"name": _setting(fleet, "secret"), "key": "password"}
    mounts = [
        {"name": "code", "mountPath": STUDIES, "readOnly": True},
        {"name": "checkpoints", "mountPath": f"{WORK}/lrsearch-checkpoints"},
    ]
    container: Document = {
        "name": "worker",
        "image": _setting(fleet, "image"),
        "args": [*fleet.words(STUDIES), "--unfinished-code", str(UNFINISHED), "-v"],
        "workingDir": WORK,
        "env": [
            {"name": "LRSEARCH_STORAGE", "value": url.render_as_string()},
            {"name": "PGPASSWORD", "valueFrom": {"secretKeyRef": secret}},
        ],
        "volumeMounts": mounts,
    }
    if fleet.gpus:
        container["resources"] = {"limits": {"nvidia.com/gpu": fleet.gpus}}
    return container


def _storage(fleet: Fleet) -> Location:
    """The database as pods reach it. Raises StorageError for a URL that is none."""
    given = _setting(fleet, "storage")
    return locate(given) if given else fleet.location


def _setting(fleet: Fleet, name: str) -> str:
    return fleet.settings.get(name, DEFAULTS[name])


def object_name(study: str) -> str:
    """A name that Kubernetes takes: small letters, digits and `-` (RFC 1123).

    A study whose name has others, or is too long, gets a few digits of its SHA-256: two studies
    never share an object.
    """
    plain = re.sub(r"[^a-z0-9]+", "-", study.lower()).strip("-")
    most = NAME_CHARACTERS - len("lrsearch--code")
    if plain == study and len(plain) <= most:
        return f"lrsearch-{plain}"
    mark = hashlib.sha256(study.encode()).hexdigest()[:8]
    return f"lrsearch-{plain[: most - len(mark) - 1].rstrip('-')}-{mark}"


def _kubectl(words: list[str], *, text: str | None = None) -> str:
    """What kubectl prints. Raises StudyError in one line."""
    if shutil.which("kubectl") is None:
        raise StudyError(
            "--on kubernetes: kubectl is not on PATH; install it, or apply what --dry-run prints"
        )
    ended = subprocess.run(
        ["kubectl", *words], input=text, capture_output=True, text=True, check=False
    )
    if ended.returncode:
        said = " ".join(ended.stderr.split()) or f"it ended with {ended.returncode}"
        raise StudyError(f"{shlex.join(['kubectl', *words[:2]])}: {said}")
    return ended.stdout
