"""A Slurm cluster of one node on loopback, of Debian's packages `slurm-wlm` and `munge`."""

import os
import shutil
import socket
import subprocess
from contextlib import ExitStack, contextmanager
from pathlib import Path

from processes import until

PROGRAMS = ("slurmctld", "slurmd", "munged", "sbatch", "scontrol")
#: With which requeued jobs start after 6 s in place of 121 s, and controllers look every 2 s.
SETTINGS = """\
ClusterName=lrsearch
SlurmctldHost=localhost
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CredType=cred/munge
AuthInfo=cred_expire=5,socket={folder}/munge.socket
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
MpiDefault=none
ReturnToService=2
KillWait=10
JobRequeue=1
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
SchedulerParameters=sched_interval=2,sched_min_interval=0,batch_sched_delay=0
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
SlurmctldPort={controller}
SlurmdPort={node}
NodeName=localhost NodeAddr=127.0.0.1 CPUs=2 RealMemory=2000 State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES State=UP
"""


def missing():
    """What keeps a cluster from being started here; None if nothing."""
    path = f"{os.environ['PATH']}:/usr/sbin"
    absent = [name for name in PROGRAMS if shutil.which(name, path=path) is None]
    if absent:
        return f"Slurm's {absent[0]} is not installed (Debian: slurm-wlm munge)"
    return None if os.getuid() == 0 else "Slurm's daemons are started by root"


class Cluster:
    """A running cluster; `environment` is what its commands need."""

    def __init__(self, folder):
        self.folder = folder
        self.environment = {"SLURM_CONF": str(folder / "slurm.conf")}

    def run(self, *words):
        ended = subprocess.run(
            words, env={**os.environ, **self.environment}, capture_output=True, text=True
        )
        assert ended.returncode == 0, f"{words}: {ended.stderr}"
        return ended.stdout

    def states(self):
        """Job and array task to state, such as `12_0` to RUNNING."""
        lines = self.run("squeue", "--array", "--noheader", "--format=%i %T").splitlines()
        return dict(line.split() for line in lines)


@contextmanager
def cluster(folder):
    """Start munged, slurmctld and slurmd, and end them."""
    with ExitStack() as stack:
        (folder / "state").mkdir(parents=True)
        (folder / "spool").mkdir()
        found = Cluster(folder)
        text = SETTINGS.format(folder=folder, controller=_free_port(), node=_free_port())
        (folder / "slurm.conf").write_text(text)
        key = folder / "munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o600)
        words = ["--foreground", "--force", f"--socket={folder}/munge.socket"]
        words += [f"--key-file={key}", f"--pid-file={folder}/munged.pid", "--num-threads=2"]
        words += [f"--log-file={folder}/munged.log", f"--seed-file={folder}/munged.seed"]
        _begin(stack, found, ["/usr/sbin/munged", *words])
        until((folder / "munge.socket").exists)
        _begin(stack, found, ["/usr/sbin/slurmctld", "-D"])
        _begin(stack, found, ["/usr/sbin/slurmd", "-D", "-N", "localhost"])
        until(lambda: "idle" in found.run("sinfo", "--noheader", "--format=%T"))
        yield found
        if left := list(found.states()):
            found.run("scancel", *left)
            until(lambda: not found.states())


def _begin(stack, found, words):
    with (found.folder / f"{Path(words[0]).name}.out").open("wb") as output:
        process = subprocess.Popen(
            words, env={**os.environ, **found.environment}, stdout=output, stderr=output
        )
    stack.callback(_end, process)


def _end(process):
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
