"""A training loop of the user's own: what it calls, in the process that a worker starts for it.

`lrsearch.run` is the process's one `Run`. `messages` and `channel` are what child and worker share.
It may import `training`, `storage`, `spec`, `recipe`, `command`, `child_process` and below, never
`study` or `worker`; torch is imported by all modules but `messages` and `channel`.
"""
