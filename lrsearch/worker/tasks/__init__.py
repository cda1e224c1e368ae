"""A task as what a worker trains: lrsearch's own engines train it, one trial or several at once.

It may import `training`, `fusing`, `study` and below, nothing else of `worker`.
"""
