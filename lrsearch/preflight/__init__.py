"""Everything about a study file that can be wrong, found before a study is made.

It may import `worker`, `training`, `spec` and below, never `run_study`, `api` or `cli`.
"""
