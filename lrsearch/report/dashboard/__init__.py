"""The reports of all studies of a database as pages on this machine, new while the studies run.

It only reads, and answers this machine alone. It may import the rest of `report` and below.
"""
