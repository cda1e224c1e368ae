"""Workers as actors of a Ray cluster that runs already."""

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lrsearch.errors import StudyError
from lrsearch.launch.extras import require
from lrsearch.launch.fleet import UNFINISHED, Fleet
from lrsearch.launch.ray_worker import STOP_SECONDS, RayWorker
from lrsearch.launch.target import Member
from lrsearch.plain_data import Document

#: Ray's namespace in which actors have their names.
NAMESPACE = "lrsearch"
#: `--set KEY=VALUE`: where the cluster is; default RAY_ADDRESS, else the one on this machine.
SETTINGS = ("address",)
#: To be placed on a node: a cluster may be busy, but an actor that is never placed is no worker.
PLACE_SECONDS = 60.0


class RayTarget:
    """See `target.Target`. Actors are detached: they live on when this process has ended."""

    name = "ray"

    def __init__(self, address: str | None = None) -> None:
        """`address` is where the cluster is; None: as `SETTINGS` says."""
        self.address = address

    def plan(self, fleet: Fleet) -> str:
        fleet.check_settings(self.name, SETTINGS)
        actor = {"lifetime": "detached", "namespace": NAMESPACE, **_options(fleet)}
        start = {
            "actors": [_actor_name(fleet.study, i) for i in range(fleet.workers)],
            "options": actor,
            "runs": ["lrsearch", *_words(fleet)],
            "code": sorted(fleet.code.files),
        }
        return json.dumps(start, indent=2)

    def start(self, fleet: Fleet) -> Sequence[Member]:
        fleet.check_settings(self.name, SETTINGS)
        with _cluster(self.address or fleet.settings.get("address")) as ray:
            taken = {actor["name"] for actor in _actors(ray)}
            names = _free_names(fleet, taken)
            actors = [_start(ray, fleet, name) for name in names]
            places = [actor.place.remote() for actor in actors]
            ready, _ = ray.wait(places, num_returns=len(places), timeout=PLACE_SECONDS)
            if not ready:
                for actor in actors:
                    ray.kill(actor, no_restart=True)
                raise StudyError(
                    f"--on ray: no actor was placed within {PLACE_SECONDS:.0f} s; each needs "
                    f"{_options(fleet)['num_cpus']} CPU and {_options(fleet)['num_gpus']} GPU; "
                    f"`ray status` shows which are free"
                )
            where = {place: ray.get(place) for place in ready}
        return [
            Member(id=name, log=f"ray logs actor, on {where.get(place, 'no node yet')}")
            for name, place in zip(names, places, strict=True)
        ]

    def stop(self, study: str) -> Sequence[Member]:
        with _cluster(self.address) as ray:
            names = [one["name"] for one in _actors(ray) if _is_of(one["name"], study)]
            actors = [ray.get_actor(name, namespace=NAMESPACE) for name in names]
            ended = [actor.stop.remote() for actor in actors]
            if ended:
                ray.wait(ended, num_returns=len(ended), timeout=STOP_SECONDS)
            for actor in actors:
                ray.kill(actor, no_restart=True)
        return [Member(id=name, log="") for name in names]


class WorkerActor:
    """The actor: a `RayWorker`, and an end of its own when that has nothing more to train."""

    def __init__(
        self,
        words: Sequence[str],
        environment: dict[str, str],
        code: dict[str, bytes],
        folder: str,
    ) -> None:
        self._worker = RayWorker(words, environment, code, folder, self._end)

    def _end(self) -> None:
        import ray

        ray.kill(ray.get_runtime_context().current_actor, no_restart=True)

    def place(self) -> str:
        """See `RayWorker.place`."""
        return self._worker.place()

    def stop(self) -> None:
        """See `RayWorker.stop`."""
        self._worker.stop()


def _options(fleet: Fleet) -> Document:
    """A CPU for each of its processes, and its GPUs; made anew for ever where a node is lost."""
    return {"num_cpus": fleet.devices_per_trial, "num_gpus": fleet.gpus, "max_restarts": -1}


def _start(ray: Any, fleet: Fleet, name: str) -> Any:
    made = ray.remote(WorkerActor).options(
        name=name, namespace=NAMESPACE, lifetime="detached", **_options(fleet)
    )
    code = dict(fleet.code.files)
    return made.remote(_words(fleet), fleet.environment(), code, str(Path.cwd()))


def _words(fleet: Fleet) -> list[str]:
    """Of a worker; one that leaves at its time limit is followed by another."""
    more = [] if fleet.time_limit is None else ["--unfinished-code", str(UNFINISHED)]
    return [*fleet.words(None), *more]


def _actors(ray: Any) -> list[Document]:
    found = ray.util.list_named_actors(all_namespaces=True)
    return [one for one in found if one["namespace"] == NAMESPACE]


def _actor_name(study: str, number: int) -> str:
    return f"{study}#{number}"


def _is_of(name: str, study: str) -> bool:
    return name.rpartition("#")[0] == study


def _free_names(fleet: Fleet, taken: set[str]) -> list[str]:
    most = fleet.workers + len(taken)
    names = (_actor_name(fleet.study, number) for number in range(most))
    return [name for name in names if name not in taken][: fleet.workers]


@contextmanager
def _cluster(address: str | None) -> Iterator[Any]:
    """Ray's module, connected. Raises StudyError where there is no cluster."""
    require("ray", "ray", "--on ray")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import ray

    chosen = address or os.environ.get("RAY_ADDRESS") or "auto"
    try:
        ray.init(address=chosen, namespace=NAMESPACE, log_to_driver=False)
    except ConnectionError as error:
        raise StudyError(
            f"--on ray: no cluster answers at {chosen!r}; start one with `ray start --head`, or "
            f"name it with --ray-address HOST:PORT"
        ) from error
    try:
        yield ray
    finally:
        ray.shutdown()
