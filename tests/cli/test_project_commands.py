"""Commands on the studies of a project, and on all of a database."""

import json

from command import run_here
from prometheus_client.parser import text_string_to_metric_families
from tiny_studies import opened

from lrsearch.report.all_studies import status_of
from lrsearch.report.dashboard.metrics import metrics_text


def said(folder, *words, code=0):
    ended = run_here(*words, folder=folder)
    assert ended.code == code, ended.err
    return ended.err if code else ended.out


def test_all_studies_are_shown_with_their_projects(finished):
    said(finished, "study", "create", "tiny.yaml", "--name", "vision/tiny")
    said(finished, "study", "limit", "vision/tiny", "--priority", "2", "--max-workers", "3")
    said(finished, "project", "limit", "vision", "--device-hours", "5")
    lines = said(finished, "status").splitlines()
    assert lines[1].split() == [
        "study",
        "state",
        "trials",
        "epochs",
        "best",
        "workers",
        "priority",
        "age",
        "owner",
    ]
    assert lines[2].split()[:5] == ["vision/tiny", "open", "0", "of", "12"]
    assert lines[3].split()[:5] == ["tiny", "finished", "12", "of", "12"]
    assert lines[-1].split() == ["vision", "0", "of", "5"]
    found = json.loads(said(finished, "status", "--project", "vision", "--json"))
    (study,) = found["studies"]
    assert (study["priority"], study["max_workers"], study["project"]) == (2, 3, "vision")
    assert found["projects"] == [{"name": "vision", "device_hours": 0.0, "device_hours_total": 5.0}]
    assert "limited: priority = 2, max_workers = 3" in said(finished, "project", "actions")
    shown = said(finished, "status", "--project", "nobody's")
    assert shown.endswith("project nobody's has no studies\n")


def test_what_contradicts_itself_is_refused(folder):
    refused = {
        ("worker",): "give either NAME or --project",
        ("worker", "tiny", "--project", "p"): "give either NAME or --project",
        ("worker", "tiny", "--forever"): "--forever is for --project",
        ("status", "tiny", "--project", "p"): "leave NAME out",
        ("study", "limit", "tiny"): "give --priority, --max-workers or both",
        ("project", "limit", "p", "--device-hours", "-1"): "give hours from 0 on, or none",
        ("project", "limit", "p", "--device-hours", "nan"): "give hours from 0 on, or none",
    }
    for words, line in refused.items():
        assert line in said(folder, *words, code=2)


def test_prometheus_reads_the_metrics(finished):
    with opened(f"sqlite:///{finished}/lrsearch.db") as database:
        text = metrics_text(status_of(database))
    found = {
        (sample.name, sample.labels.get("study"), sample.labels.get("state")): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert found["lrsearch_study_trials", "tiny", None] == 12
    assert found["lrsearch_study_state", "tiny", "finished"] == 1
    assert found["lrsearch_study_running", "tiny", None] == 0
    assert ("lrsearch_project_device_hours", None, None) in found


def test_a_log_of_json_has_an_object_on_each_line(folder):
    words = ("run", "tiny.yaml", "--trials", "2", "--log-file", "log.jsonl")
    ended = run_here(*words, folder=folder, LRSEARCH_LOG_FORMAT="json")
    assert ended.code == 0, ended.err
    records = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    assert any(record["message"].startswith("trial 1 ") for record in records)
    assert {record["level"] for record in records} <= {"info", "warning"}
    refused = run_here("status", folder=folder, LRSEARCH_LOG_FORMAT="xml")
    assert refused.code == 1
    assert refused.err == "Error: LRSEARCH_LOG_FORMAT=xml: text or json is accepted\n"
