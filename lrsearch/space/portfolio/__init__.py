"""The portfolio: recipes that are good on many tasks, trained before any is sampled.

Its entries are data, in the order in which they are trained; they are moved into a study's space.
It may import the rest of `space` and what that may import.
"""
