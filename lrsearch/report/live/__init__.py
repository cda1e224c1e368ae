"""A study while it runs: one value of each look at the database, its events, and what draws them.

It only reads: the rights of a database's reader are enough. It may import the rest of `report` and
below.
"""
