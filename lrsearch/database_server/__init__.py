"""A PostgreSQL server of one's own, run by PostgreSQL's programs; backups of a database.

It may import `storage`, `child_process`, `private_files` and `errors`.
"""
