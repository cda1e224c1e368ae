"""The course of one trial as pure functions: states, validations, pruning, divergence.

It may import `errors` alone.
"""
