"""From the values of batches to the value of a set, which does not depend on the batches.

It may import `data` and `precision` of `training`, `task` and below.
"""
