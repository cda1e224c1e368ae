"""Workers of a study as a fleet: on this machine, on Slurm, on Ray, on Kubernetes.

`targets` names them. A target starts `lrsearch worker` as often as a `fleet` says, with a snapshot
of the study's code (`snapshot`), and stops what it has started.

It may import `worker`, `study`, `storage`, `spec`, `task`, `child_process` and below. Of `worker`
it takes what loads no torch; `local` asks `training` for the devices of this machine.
"""
