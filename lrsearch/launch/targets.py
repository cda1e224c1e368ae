"""The places that `--on` names."""

from lrsearch.errors import SpecError, near_miss
from lrsearch.launch.target import Target

#: In the order in which they are offered.
NAMES = ("local", "slurm", "ray", "kubernetes")


def target(name: str, *, ray_address: str | None = None) -> Target:
    """The target of this name; its packages are imported when they are used.

    `ray_address` is where Ray's cluster is. Raises SpecError for a name that is none, and for an
    address where it says nothing.
    """
    if ray_address is not None and name != "ray":
        raise SpecError(f"--ray-address {ray_address}: it is for --on ray; leave it out")
    match name:
        case "local":
            from lrsearch.launch.local import LocalTarget

            return LocalTarget()
        case "slurm":
            from lrsearch.launch.slurm import SlurmTarget

            return SlurmTarget()
        case "ray":
            from lrsearch.launch.ray_cluster import RayTarget

            return RayTarget(ray_address)
        case "kubernetes":
            from lrsearch.launch.kubernetes import KubernetesTarget

            return KubernetesTarget()
    raise SpecError(f"--on {name}: no such target{near_miss(name, NAMES)}")
