"""What scripts and commands have in common: a process of the user's code trains each trial.

It may import `training`, `child_process`, `study` and below, nothing else of `worker`.
"""
