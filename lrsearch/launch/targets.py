"""The places that `--on` names."""

from lrsearch.errors import SpecError, near_miss
from lrsearch.launch.target import Target

#: In the order in which they are offered.
NAMES = ("local", "slurm", "ray", "kubernetes")


def target(name: str) -> Target:
    """The target of this name; its packages are imported when they are used. Raises SpecError."""
    match name:
        case "local":
            from lrsearch.launch.local import LocalTarget

            return LocalTarget()
        case "slurm":
            from lrsearch.launch.slurm import SlurmTarget

            return SlurmTarget()
        case "ray":
            from lrsearch.launch.ray_cluster import RayTarget

            return RayTarget()
        case "kubernetes":
            from lrsearch.launch.kubernetes import KubernetesTarget

            return KubernetesTarget()
    raise SpecError(f"--on {name}: no such target{near_miss(name, NAMES)}")
