"""A fleet on a real Ray cluster of two local nodes, of which one is killed."""

import json
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from retrained import assert_same_bits
from sites import assert_exact, opened_site
from tiny_studies import TASKS, make_study

from lrsearch.report.summary import trial_rows

SCRIPT = Path(__file__).with_name("two_ray_nodes.py")
#: Ray listens on all addresses, so it gets a network without any but the loopback.
ALONE = ("unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("ray") is None, reason="ray is not installed"),
    pytest.mark.skipif(
        os.getuid() != 0 or not (shutil.which("unshare") and shutil.which("ip")),
        reason="a network of its own needs root, unshare and ip",
    ),
]


def test_a_study_completes_though_a_node_is_killed(sqlite_url, tmp_path):
    with opened_site(sqlite_url, tmp_path) as site:
        search = make_study(site.database)
        environment = {
            "LRSEARCH_STORAGE": site.url,
            "TINY_CONTROL": str(tmp_path / "control"),
            "RAY_AUTH_MODE": "disabled",
            "RAY_USAGE_STATS_ENABLED": "0",
            "OMP_NUM_THREADS": "1",
        }
        ended = subprocess.run(
            [*ALONE, sys.executable, str(SCRIPT), str(TASKS)],
            env={**os.environ, **environment},
            cwd=site.folder,
            capture_output=True,
            text=True,
            timeout=500,
        )
        assert ended.returncode == 0, ended.stderr[-3000:]
        seen = json.loads(ended.stdout.splitlines()[-1])
        assert [member["id"] for member in seen["started"]] == ["tiny#0", "tiny#1"]
        assert_exact(search)
        assert max(row["attempts"] for row in trial_rows(search)) == 2
        assert_same_bits(search)
