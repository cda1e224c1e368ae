"""One trial on several devices: torch's DistributedDataParallel, a process for each device.

The worker's own process is rank 0: it holds the lease, validates and saves. The others do what it
tells them. It may import `training.data`, `training.pooling`, `solo`, `engine` and below of
`training`, and `task`, `spec` and `child_process`.
"""
