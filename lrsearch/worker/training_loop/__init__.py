"""The loop of a worker: the places of an engine are filled, trained, watched and freed.

It may import `jobs`, `context`, `leases`, `checkpoints` and below.
"""
