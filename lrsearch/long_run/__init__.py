"""A long run: one recipe trained over a horizon of its own, from a study to a file of weights.

It is the only trial of a study of its own, so that any worker can take it over. It may import
`run_study`, `report`, `worker`, `study`, `export` and below, never `api` or `cli`.
"""
