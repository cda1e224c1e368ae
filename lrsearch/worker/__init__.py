"""A process that trains: it leases trials, trains them, and records what came of them.

It may import `study`, `training`, `storage`, `fusing` and below, never `report` or `cli`.
"""
