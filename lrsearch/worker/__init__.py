"""A process that trains: it leases trials, trains them, and records what came of them.

`worker` is one such process; `processes` starts them. What they train is a `program`: a task
(`tasks`), a training script (`scripts`) or a command (`commands`). `jobs` claims the trials,
`training_loop` trains them, `leases` keeps the claims.

It may import `study`, `training`, `storage`, `fusing` and below, never `report` or `cli`.
"""
