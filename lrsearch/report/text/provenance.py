"""What produced a report: enough to run the same again, and to tell whether another one is it."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from lrsearch.report.model import Report
from lrsearch.report.text.format import counted
from lrsearch.storage.records import WorkerRecord
from lrsearch.storage.worker_identity import place
from lrsearch.task.commit import COMMIT
from lrsearch.task.worker_facts import DataFacts, WorkerFacts

TITLE = "What produced this report"
#: So many lines, machines and process ids are named; of the rest there is a count.
MOST_NAMED = 8


def provenance(report: Report) -> tuple[tuple[str, str], ...]:
    """Names and values, what was typed first."""
    study = report.study
    facts = [WorkerFacts.from_dict(worker.facts) for worker in report.workers if worker.facts]
    created = datetime.fromtimestamp(study.created_at, UTC)
    packages = {name: text for name, text in report.versions.items() if name != COMMIT}
    hashes = [(f"SHA-256 of {name}", code) for name, code in sorted(study.code.items())]
    rows = [
        ("command lines", _named(one.command for one in facts)),
        ("study", report.name),
        ("created", f"{created:%Y-%m-%d %H:%M:%S} UTC, by the database's clock"),
        ("workers that took part", _workers(report.workers)),
        ("trained on", _named(one.hardware for one in facts)),
        ("Python", _named(one.python for one in facts)),
        ("operating system", _named(one.system for one in facts)),
        ("packages of the workers", _named(_packages(one.packages) for one in facts)),
        *_data([one.data for one in facts]),
        ("storage", report.storage),
        ("versions when it was created", _packages(packages)),
        ("git commit of the code", report.versions.get(COMMIT, "not known")),
        ("hash of the study file", study.spec_hash),
        *hashes,
        ("seed", str(report.spec.seed)),
    ]
    return tuple((name, value) for name, value in rows if value)


def _named(values: Iterable[str]) -> str:
    """The different ones in their order."""
    found = list(dict.fromkeys(values))
    more = len(found) - MOST_NAMED
    return "; ".join([*found[:MOST_NAMED], *([f"{more} more"] if more > 0 else [])])


def _packages(versions: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {number}" for name, number in versions.items())


def _workers(workers: Iterable[WorkerRecord]) -> str:
    """`2 workers on vm (process ids 7, 8)`"""
    pids: defaultdict[str, list[str]] = defaultdict(list)
    for worker in workers:
        host, pid = place(worker.name)
        pids[host].append("not known" if pid is None else str(pid))
    return _named(
        f"{counted(len(mine), 'worker')} on {host} ({_ids(mine)})" for host, mine in pids.items()
    )


def _ids(pids: list[str]) -> str:
    return f"process {pids[0]}" if len(pids) == 1 else f"processes {_named(pids)}"


def _data(found: Iterable[tuple[DataFacts, ...]]) -> list[tuple[str, str]]:
    """Each set in the shapes and with the hashes that workers saw: one, unless they differ."""
    seen: defaultdict[str, list[str]] = defaultdict(list)
    for sets in found:
        for one in sets:
            seen[one.name].append(_set(one))
    return [(f"{name} data", _named(values)) for name, values in seen.items()]


def _set(data: DataFacts) -> str:
    if not data.sha256:
        return f"{data.shape}, not hashed: the samples are no tensors in memory"
    which = f"the {data.size:,} bytes of these tensors"
    if data.hashed < data.size:
        which = f"the first {data.hashed:,} of the {data.size:,} bytes of these tensors"
    return f"{data.shape}; SHA-256 of {which}: {data.sha256}"
