"""The course of one trial as values and pure functions: states, curve, pruning, divergence.

It may import `errors` and `plain_data` alone.
"""
