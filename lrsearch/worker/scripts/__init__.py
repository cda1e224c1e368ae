"""A training script as what a worker trains: its process calls `lrsearch.run` and is spoken with.

It may import `user_process`, `own_loop`, `training`, `study` and below.
"""
