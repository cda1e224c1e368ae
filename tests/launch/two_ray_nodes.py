"""A Ray cluster of two nodes, in a network of its own, on which a fleet trains a study.

    python two_ray_nodes.py TASKS

The database is LRSEARCH_STORAGE's, and TINY_CONTROL says what trials do. While both workers train,
the node of one is killed. The fleet ends by itself; the last line is JSON of what was seen.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import ray
from ray.cluster_utils import Cluster

#: A node's death is noticed after 1 s in place of 15 s.
QUICKLY = {
    "health_check_initial_delay_ms": 0,
    "health_check_period_ms": 500,
    "health_check_timeout_ms": 500,
    "health_check_failure_threshold": 3,
}
NODE = {"include_dashboard": False, "object_store_memory": 80 * 2**20}
#: In which the study has to complete: nothing here takes a tenth of it.
PATIENCE_SECONDS = 240


def lrsearch(*words):
    ended = subprocess.run(
        [sys.executable, "-m", "lrsearch", *words], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


def until(condition):
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (found := condition()):
        assert time.monotonic() < deadline, condition
        time.sleep(0.5)
    return found


def main(tasks):
    # Not 127.0.0.1, which Ray replaces by the machine's outer address.
    head = {**NODE, "num_cpus": 0, "node_ip_address": "127.0.0.2", "_system_config": QUICKLY}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    nodes = [
        cluster.add_node(num_cpus=1, node_ip_address=f"127.0.0.{number}", **NODE)
        for number in (3, 4)
    ]
    os.environ["RAY_ADDRESS"] = cluster.address
    control = Path(os.environ["TINY_CONTROL"])
    control.write_text("hold")
    how = ("--workers", "2", "--task-dir", tasks, "--fuse", "off", "--json")
    started = lrsearch("launch", "tiny", "--on", "ray", *how)["started"]
    until(lambda: len(list(control.parent.glob("held.*"))) == 2)  # both in the middle of a trial
    ray.init(address=cluster.address, namespace="lrsearch", log_to_driver=False)
    lost = ray.get_actor("tiny#0", namespace="lrsearch")
    process = int(ray.get(lost.place.remote()).rpartition(":")[2])
    node = next(node for node in nodes if runs_below(node, process))
    os.kill(process, signal.SIGKILL)
    cluster.remove_node(node, allow_graceful=False)
    control.write_text("")
    until(lambda: lrsearch("study", "show", "tiny", "--json")["state"] == "finished")
    until(lambda: not ray.util.list_named_actors(all_namespaces=True))
    ray.shutdown()
    cluster.shutdown()
    print(json.dumps({"started": started}))


def runs_below(node, process):
    """Whether a process descends from the node's raylet."""
    raylet = node.all_processes["raylet"][0].process.pid
    return raylet in [parent.pid for parent in psutil.Process(process).parents()]


if __name__ == "__main__":
    main(sys.argv[1])
