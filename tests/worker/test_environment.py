"""What the processes of a user's own code are told."""

import json
import subprocess
import sys

from lrsearch.worker.user_process.environment import SECRETS, environment_without_secrets


def test_a_script_is_told_no_password(monkeypatch):
    for name in SECRETS:
        monkeypatch.setenv(name, "canary")
    monkeypatch.setenv("OTHER", "kept")
    code = "import json, os; print(json.dumps(dict(os.environ)))"
    ended = subprocess.run(
        [sys.executable, "-c", code],
        env=environment_without_secrets(),
        capture_output=True,
        check=True,
    )
    told = json.loads(ended.stdout)
    assert "canary" not in told.values()
    assert told["OTHER"] == "kept"
    of_lrsearch = {"LRSEARCH_STORAGE", "LRSEARCH_STORAGE_FILE", "LRSEARCH_READ_STORAGE"}
    assert {*of_lrsearch, "PGPASSWORD", "PGPASSFILE"} == set(SECRETS)
