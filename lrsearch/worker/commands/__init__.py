"""A command as what a worker trains: its process is run as it is, and its metrics are read.

It may import `user_process`, `command`, `training`, `study` and below.
"""
